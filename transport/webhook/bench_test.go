package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// instantly is an inbox that stores nothing: what remains is reading,
// verifying, decoding and routing.
type instantly struct{}

func (instantly) Deliver(_ context.Context, deliveries []domain.Delivery) []error {
	return make([]error, len(deliveries))
}

// discard is the smallest ResponseWriter.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// BenchmarkPOST is one text message, from the first byte to the answer, without
// network and without storage.
func BenchmarkPOST(b *testing.B) {
	for _, c := range []struct {
		provider domain.Provider
		fixture  string
	}{{domain.WhatsApp, "whatsapp_text_bsuid"}, {domain.WhatsApp, "whatsapp_status_delivered"}, {domain.Messenger, "messenger_text"}} {
		b.Run(c.fixture, func(b *testing.B) {
			bench := newBench(b, func(config *Config) { config.Inbox = instantly{} })
			bench.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
			bench.channels.add(domain.Messenger, fixturePage, 1, nil)
			var body bytes.Buffer
			require.NoError(b, json.Compact(&body, fixture(b, c.fixture)))
			r := signedRequest(body.Bytes(), appSecret)
			handler, reader := bench.endpoint(c.provider), bytes.NewReader(nil)
			b.SetBytes(int64(body.Len()))
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body.Bytes())
				r.Body = io.NopCloser(reader)
				w := discard{header: http.Header{}}
				handler.ServeHTTP(&w, r)
				if w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
		})
	}
}

// BenchmarkServer is the same over HTTP on loopback, 32 connections, the client
// included; its floor does nothing but read and verify.
func BenchmarkServer(b *testing.B) {
	bench := newBench(b, func(config *Config) { config.Inbox = instantly{} })
	bench.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
	floor := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		s, ok := signatureOf(domain.WhatsApp, r.Header)
		if err != nil || !ok || !s.fits(body, appSecret) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	for name, handler := range map[string]http.Handler{"webhook": bench.handler.WhatsApp(), "floor": floor} {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(handler)
			defer server.Close()
			var body bytes.Buffer
			require.NoError(b, json.Compact(&body, fixture(b, "whatsapp_text_bsuid")))
			request := fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s",
				headerSHA256, sign(body.Bytes(), appSecret), body.Len(), body.Bytes())
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				conn, err := net.Dial("tcp", server.Listener.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				answer := make([]byte, 4096)
				for pb.Next() {
					if _, err := conn.Write(request); err != nil {
						b.Error(err)
						return
					}
					n, err := conn.Read(answer)
					if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 200")) {
						b.Errorf("%s %v", answer[:n], err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "POST/s")
		})
	}
}

// BenchmarkNormalize is the decoding alone.
func BenchmarkNormalize(b *testing.B) {
	for _, name := range []string{"whatsapp_text_bsuid", "messenger_text"} {
		b.Run(name, func(b *testing.B) {
			var body bytes.Buffer
			require.NoError(b, json.Compact(&body, fixture(b, name)))
			provider := domain.WhatsApp
			if name == "messenger_text" {
				provider = domain.Messenger
			}
			b.SetBytes(int64(body.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if len(parse(provider, body.Bytes())) != 1 {
					b.Fatal("not one element")
				}
			}
		})
	}
}
