// Package persistencetest gives tests a real PostgreSQL.
//
// New makes a database for one test, with the schema in it, from a template, in
// some 30 ms, so that tests run in parallel against the real thing. The server
// is the one that TEST_DATABASE_URL names, which `testdb` starts once for all
// packages (cmd/testdb, behind `make test`), or else an embedded one that lives
// as long as the test binary. For its end the package's tests need
//
//	func TestMain(m *testing.M) { os.Exit(persistencetest.Main(m)) }
//
// Main also fails the run when goroutines are left behind. That server gives up
// durability for speed. NewServer gives a private one that doesn't, and that can
// be stopped, killed and started again, for tests of faults.
//
// The package may import persistence, persistence/embedded and migrations.
package persistencetest
