package main

import (
	"context"
	"net/http"
	"time"
)

// ingest measures signed webhooks with one message each, answered when it is
// durable. The floors are an endpoint that verifies and reads the same webhooks,
// and a database that gets the same rows in large batches.
func ingest(ctx context.Context, s *stage) error {
	clients, bare := s.clientsOf(s.clients), s.floors.clientsOf(s.clients)
	defer clients.close()
	defer bare.close()
	first, err := s.begin(ctx, clients, s.conversations)
	if err != nil {
		return err
	}
	send := func(w, i int, due time.Time) error {
		status, err := clients[w].do(ctx, s.target.message(s.target.serials(1), first+i%s.conversations, due))
		return want(http.StatusOK, status, err)
	}
	return s.withBareDatabase(ctx, func(database *bareDatabase) error {
		for range s.rounds(ctx) {
			posts, err := s.floorOf(ctx, bare, func(_, i int) []byte {
				return s.floors.message(s.target, first+i%s.conversations)
			})
			if err != nil {
				return err
			}
			f, err := s.press(ctx, "messages", "messages/s", "POST to 200", s.clients, send)
			if err != nil {
				return err
			}
			f.goal = "≥ 7,400"
			if err := s.besideSeries(ctx, f, "bare POST", posts, database, (*bareDatabase).inbound); err != nil {
				return err
			}
		}
		return nil
	})
}

// message is the webhook of a customer's message, signed for the floor.
func (f *floor) message(t *target, customer int) []byte {
	now := time.Now()
	body := t.form.fill(t.number(customer), "wamid.bench.floor", stamp(now)+benchText, now)
	return signedWebhook("/webhook", f.order.WebhookSecret, body)
}

// press measures how many requests go through in a second when as many come as
// can, and then how long each takes at a steady rate.
func (s *stage) press(ctx context.Context, name, unit, latency string, workers int, send func(worker, i int, due time.Time) error) (*figure, error) {
	peak, err := s.run(ctx, "throughput", load{warmUp: s.warmUp(), duration: s.duration, workers: workers}, send)
	if err != nil {
		return nil, err
	}
	f := s.figure(name, unit)
	f.add(peak.throughput())
	calm, err := s.run(ctx, "latency", load{rate: s.offered(peak.throughput()), warmUp: s.warmUp(), duration: s.duration, workers: workers}, send)
	if err != nil {
		return nil, err
	}
	s.timed(s.atRate(latency), calm.latency)
	return f, nil
}

// withBareDatabase lends the floor's database, nil where the server's isn't ours.
func (s *stage) withBareDatabase(ctx context.Context, do func(*bareDatabase) error) error {
	if s.target.own == nil {
		s.note("the floor is the bare endpoint alone: the database isn't ours to write into")
		return do(nil)
	}
	database, err := openBareDatabase(ctx, s.target.own.database)
	if err != nil {
		return err
	}
	err = do(database)
	if closeErr := database.close(); err == nil {
		err = closeErr
	}
	return err
}

// besideSeries puts beside the figure's newest value the rate of the bare part
// and of the bare rows, done one after the other.
func (s *stage) besideSeries(ctx context.Context, f *figure, part string, rate float64, database *bareDatabase, of transaction) error {
	if database == nil {
		f.beside(part, rate)
		return nil
	}
	stored, took, err := database.storeFor(ctx, s.floorTime(), of)
	if err != nil {
		return err
	}
	rows := float64(stored) / took.Seconds()
	s.figure("floor: "+part, f.unit).add(rate)
	s.figure("floor: batched rows", f.unit).add(rows)
	f.beside(part+" and batched rows in series", inSeries(rate, rows))
	return nil
}

// storeFor stores transactions for about that long.
func (d *bareDatabase) storeFor(ctx context.Context, length time.Duration, of transaction) (stored int, took time.Duration, err error) {
	for took < length {
		n, t, err := d.store(ctx, floorConnections*floorBatch, of)
		if err != nil {
			return 0, 0, err
		}
		stored, took = stored+n, took+t
	}
	return stored, took, nil
}
