// Package auth proves who calls: passwords, access tokens, and the principal
// that a request's context carries. It is the one leaf that the REST and the
// socket transports share; it imports domain and nothing else of ours.
//
// A password is kept as an argon2id hash ([Hasher]). A login gives an access
// token, a JWT signed with HS256 ([Issuer]), that any node can check without
// asking anybody: short-lived, so that a role or a session that has changed is
// believed for minutes at most even where [Issuer].Revoked is not set. What
// keeps a login alive is a refresh token, good for one exchange ([RefreshChain]).
//
// All keys come from one configured secret by [DeriveKey], each with a label
// of its own: what leaks one of them tells nothing about the others.
//
// Concurrency: a [Hasher], an [Issuer] and a [RefreshChain] may be used by any
// number of goroutines; none starts one. The fields of the latter two are set
// before the first use and not changed afterwards.
package auth
