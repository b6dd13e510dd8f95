// Package graphtest is a fake of Meta's Graph API over real HTTP, for tests and
// for the simulator: it takes what a business sends, plays the customers who
// get it, and posts the signed webhooks that Meta would. It imports nothing of
// ours, so that it can't agree with a mistake of ours.
//
//	server.go    Config, Start, Close; answer.go tokens and errors
//	message.go   what customers get, on both platforms; taken.go what was taken
//	fault.go     what goes wrong, by a Plan; limit.go what the platforms limit
//	object.go    numbers, pages, subscriptions, tokens; media.go files
//	customer.go  what customers do; webhook.go how it is told; courier.go posts it
//
// # What is true of a message
//
// A message that appears in [Server.Taken] reached its customer, whatever the
// caller was told; one that doesn't, didn't. It is there once for every time it
// was taken: like the real one, the server knows no idempotency. A [Fault] with
// Take hides that from the caller: a connection that breaks, a page of a proxy,
// an error. Limits and the form of requests are checked after the plan's
// refusals and before a message is taken.
//
// # Same seed, same run
//
// Ids come from the seed and the order of messages. What hits a message (Share)
// and what its customer does with it (Habits) come from the seed, the recipient
// and the message's number with that recipient, so they don't depend on how
// calls of different conversations overlap.
//
// # Webhooks
//
// They are escaped and signed as Meta's are, posted at their time by up to 32
// posts at once, and again until the answer is 200. Those about one message wait
// for one another, unless Habits.Disorder says otherwise; all others come in no
// promised order. Drain waits for the last.
//
// # Concurrency, life, bounds
//
// Every call has its own goroutine, as net/http has it; one more hands out
// webhooks, and each that is being posted has one. [Start] owns them all and
// [Server.Close] ends them. The server's lock is taken before the courier's.
// What is remembered is bounded by Config.Keep (the oldest is forgotten), files
// by 256 MiB (likewise), waiting webhooks by Config.Backlog (further messages
// are refused as overload). Of every recipient a count is kept, and of who wrote
// the names.
package graphtest
