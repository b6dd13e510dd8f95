package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// valkeyLink is the connections to Valkey.
type valkeyLink struct{ client *redis.Client }

func newValkeyLink(url string) (*valkeyLink, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("VALKEY_URL is malformed: takes redis:// or rediss://user:password@host:port/number") // the cause quotes the password
	}
	options.ContextTimeoutEnabled = true // who waits decides for how long
	return &valkeyLink{redis.NewClient(options)}, nil
}

// ping is nil while Valkey answers.
func (v *valkeyLink) ping(ctx context.Context) error {
	if err := v.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping valkey: %w", err)
	}
	return nil
}

func (v *valkeyLink) close(context.Context) error { return v.client.Close() }
