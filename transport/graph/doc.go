// Package graph makes the calls to Meta's Graph API: messages out on WhatsApp
// and Messenger, receipts and typing, media both ways, and the questions that
// tell whether a channel works. It imports domain and nothing else of ours.
//
//	client.go     one call: time-outs, credentials, one attempt, what was written
//	send.go       Send, MarkRead, Typing; whatsapp*.go, messenger.go make their JSON
//	media.go      Upload, LookUpMedia, Download; mediahost.go where files may come from
//	account.go    Identify, Subscriptions, Subscribe, InspectToken, LookUpPerson
//	error.go      an answer's failure; class.go what each code of the platforms means
//
// # What a failure says
//
// A call that fails gives a *domain.CallError (downloads have three errors more).
// Its class decides what follows, and only FailureUncertain may have reached
// the customer: the request was written and no answer of the platform came, or
// the platform itself says that it doesn't know. Everything that happened
// before the request was written (names, connections, TLS, waiting for a free
// connection) is transient and certainly wasn't sent. A proxy's page under a 5xx
// or a 200 is no answer of the platform; under a 4xx it is a refusal. The class
// is found by code first, whatever the status, 200 included.
//
// One call is one attempt. Retries, rates and circuit breakers are the caller's.
//
// # Secrets
//
// A token goes into one header, to the configured host and, for files, to the
// one media host that asks for it. Addresses of calls are never part of an
// error, and what the platform says is searched for the account's secrets
// before anybody sees it. [Secret] shows itself nowhere.
//
// # What is fetched
//
// Files come from the platforms' media hosts over https, or from the configured
// address of the API, and from nowhere else, redirects included. The address
// that a name leads to is checked when it is dialed and must be public.
//
// # Concurrency and bounds
//
// A [Client] may be used by any number of goroutines and starts none of its own.
// Connections to one host are bounded (Config.MaxConnections) and calls above
// that wait within their own time. At most 1 MiB is read of an answer; a download
// is streamed, bounded by its limit and the transfer time-out.
package graph
