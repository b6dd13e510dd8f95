// Package rest is the HTTP API of the inbox: JSON in and out under /api,
// problem details (RFC 9457) for everything that is refused, and the probes.
//
// # How it works
//
// [New] builds one handler. A request passes the edge first (request id, log,
// recovery from panics, CORS, headers), then the router, then what its
// operation declares: who may call it, its deadline, its body. Only then the
// typed layer reads and validates the input and the operation runs. Commands
// go to the actors ([Inbox]), reads to the storage ([Conversations], [Users]);
// this package holds no rule of the inbox and no SQL.
//
// Every operation is registered by register, and one that doesn't declare who
// may call it fails New. Every error becomes an answer in problemOf, and only
// there. The OpenAPI document is made from the registered operations; a page
// that comes with the program shows it. Requests are counted and logged by the
// route they have, as it was registered, never by their path.
//
// # What an answer promises
//
// A command is answered when its effect is durable, with the row as a read
// that follows sees it. 503 says that the call certainly was not executed, 504
// that it may have been. What belongs to another organization answers like
// what doesn't exist. No answer quotes a stack, a statement or a secret.
//
// # Concurrency and bounds
//
// The handler may be used by any number of goroutines and starts none that
// outlives its request. At most Config.MaxInFlight calls of the API are at
// work at a time, each with up to 1 MiB of body and for up to Config.Timeout;
// what comes beyond is answered 503. Files come and go as streams, 256 at a time,
// each for up to five minutes. Handlers that are mounted beside the API
// pass the same edge and bring their own limits. A user may call so often in a
// second, and an address whose callers don't prove to be users (Config.UserRate,
// Config.AddressRate); 50,000 of each are remembered. Wrong passwords are counted by
// account and by address ([Throttle]), and only so many are hashed at a time.
//
// It imports domain, transport/auth, huma, httprouter, gzhttp and Swagger UI's
// files.
package rest
