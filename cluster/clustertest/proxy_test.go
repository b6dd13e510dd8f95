package clustertest

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers each line with itself.
func echo(t *testing.T) (addr string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn) // ends with the connection
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

type caller struct {
	*testing.T
	conn  net.Conn
	lines *bufio.Reader
}

func call(t *testing.T, p *Proxy) caller {
	conn, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return caller{t, conn, bufio.NewReader(conn)}
}

func (c caller) say(text string) {
	_, err := c.conn.Write([]byte(text + "\n"))
	require.NoError(c, err)
}

func (c caller) hears(text string) {
	require.NoError(c, c.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	line, err := c.lines.ReadString('\n')
	require.NoError(c, err)
	require.Equal(c, text+"\n", line)
}

func (c caller) hearsNothing() {
	require.NoError(c, c.conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := c.lines.ReadString('\n')
	var timeout net.Error
	require.ErrorAs(c, err, &timeout)
	require.True(c, timeout.Timeout())
}

func TestAProxy(t *testing.T) {
	t.Parallel()
	p := NewProxy(t, echo(t))
	c := call(t, p)
	c.say("hello")
	c.hears("hello")
	for _, way := range []Direction{Forth, Back, Both} {
		p.Cut(way)
		c.say("into the dark")
		c.hearsNothing()
		p.Heal()
		c.hears("into the dark")
	}
	p.Delay(Both, 100*time.Millisecond)
	begun := time.Now()
	c.say("slowly")
	c.say("but at once")
	c.hears("slowly")
	require.GreaterOrEqual(t, time.Since(begun), 200*time.Millisecond)
	c.hears("but at once")
	p.Heal()

	p.Break()
	_, err := c.lines.ReadString('\n')
	require.Error(t, err)
	c = call(t, p)
	c.say("again")
	c.hears("again")
	p.Cut(Both)
	c.say("never heard")
	p.Close()
	_, err = net.Dial("tcp", p.Addr())
	require.Error(t, err)
}
