package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// faults is what goes wrong at the simulated platform: shares of the messages,
// and how long each answer takes. It is a flag.Value.
type faults struct {
	text     string
	drop     float64 // taken, and the answer lost
	throttle float64 // refused by the number's or the page's rate limit
	fail     float64 // refused by a service that is down
	reject   float64 // refused for ever
	latency  time.Duration
}

// String is the faults as they were given.
func (f *faults) String() string { return f.text }

func (f *faults) isSet() bool { return *f != faults{} }

// Set reads a comma list of name=value.
func (f *faults) Set(text string) error {
	f.text = text
	shares := map[string]*float64{"drop": &f.drop, "throttle": &f.throttle, "error": &f.fail, "reject": &f.reject}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if name == "latency" {
			d, err := time.ParseDuration(value)
			if err != nil || d < 0 || d > time.Minute {
				return fmt.Errorf("latency takes a time up to 1m, such as 200ms, got %q", value)
			}
			f.latency = d
			continue
		}
		share, known := shares[name]
		if !known {
			return fmt.Errorf("takes drop, throttle, error, reject and latency, got %q", name)
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !(n >= 0 && n <= 1) {
			return fmt.Errorf("%s takes a share from 0 to 1, got %q", name, value)
		}
		*share = n
	}
	return nil
}

// plan is the faults as the fake platform takes them. Each kind draws its own
// lot, and the first that hits a message is the one.
func (f *faults) plan(seed uint64) graphtest.Plan {
	byProvider := func(whatsApp, messenger int) func(graphtest.Provider) graphtest.Fault {
		return func(p graphtest.Provider) graphtest.Fault {
			if p == graphtest.Messenger {
				return graphtest.Refuse(messenger, 0)
			}
			return graphtest.Refuse(whatsApp, 0)
		}
	}
	kinds := []struct {
		share float64
		fault func(graphtest.Provider) graphtest.Fault
	}{
		{f.drop, func(graphtest.Provider) graphtest.Fault { return graphtest.Dropped }},
		{f.throttle, byProvider(130429, 613)},
		{f.fail, byProvider(131016, 2)},
		{f.reject, byProvider(131026, 551)},
	}
	return func(c graphtest.Call) graphtest.Fault {
		for i, k := range kinds {
			hit := graphtest.Share(seed+uint64(i), k.share, graphtest.Broken)(c)
			if hit == graphtest.Broken {
				fault := k.fault(c.Provider)
				fault.Delay = f.latency
				return fault
			}
		}
		return graphtest.Fault{Delay: f.latency}
	}
}
