package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// idleMemory measures what the server keeps for each connected socket that does
// nothing: heap and stacks that are alive, and what the process holds of the
// machine. The floor is a process with bare gws connections.
func idleMemory(ctx context.Context, s *stage) error {
	if err := s.target.staff(ctx, s.agents); err != nil {
		return err
	}
	for range s.rounds(ctx) {
		bare, err := s.perSocket(ctx, s.floors.doors(s.sockets), s.floors.settledMemory)
		if err != nil {
			return fmt.Errorf("the floor: %w", err)
		}
		ours, err := s.perSocket(ctx, s.target.doors(s.sockets), s.settledMemory)
		if err != nil {
			return err
		}
		f := s.figure("memory alive per socket", "bytes")
		f.goal = "≤ 16,384"
		f.add(ours.alive)
		f.beside("bare gws", bare.alive)
		f = s.figure("resident memory per socket", "bytes")
		f.add(ours.resident)
		f.beside("bare gws", bare.resident)
	}
	return nil
}

// processState is what a process holds, in bytes, and has used.
type processState struct {
	alive    float64 // heap that the last collection found in use, and stacks
	resident float64
	cycles   float64 // of the garbage collector, so far
	cpu      float64 // seconds, so far
}

// perSocket is how much more a process holds with the sockets than without.
func (s *stage) perSocket(ctx context.Context, doors []socketDoor, memory func(context.Context) (processState, error)) (m processState, err error) {
	defer s.progress.begin(fmt.Sprintf("%s %d/%d: %d sockets", s.scenario.name, s.round+1, s.repeats, len(doors)), 0)()
	before, err := memory(ctx)
	if err != nil {
		return m, err
	}
	sockets, err := gatherSockets(ctx, doors, func(int, []byte) {})
	if err != nil {
		return m, err
	}
	defer sockets.leave()
	after, err := memory(ctx)
	n := float64(len(doors))
	s.errors.addAll(&sockets.lost)
	return processState{alive: (after.alive - before.alive) / n, resident: (after.resident - before.resident) / n}, err
}

// settledMemory is the server's memory after it has collected its garbage. Nobody
// can tell it to: it is kept busy with calls until it has done so twice.
func (s *stage) settledMemory(ctx context.Context) (processState, error) {
	before, err := readState(ctx, s.target.http, s.metricsURL())
	if err != nil {
		return before, err
	}
	clients := s.clientsOf(8)
	defer clients.close()
	deadline := time.Now().Add(time.Minute)
	for {
		if err := clients.each(ctx, http.StatusOK, 400, func(i int) []byte {
			return rawCall(http.MethodGet, "/api/agents", nil, bearer(s.target.agents[i%s.agents].token))
		}); err != nil {
			return before, err
		}
		now, err := readState(ctx, s.target.http, s.metricsURL())
		if err != nil || now.cycles >= before.cycles+2 {
			return now, err
		}
		if time.Now().After(deadline) {
			s.note("the server didn't collect its garbage within a minute: what is alive is an older figure")
			return now, nil
		}
	}
}

// settledMemory is the floor's.
func (f *floor) settledMemory(ctx context.Context) (processState, error) {
	client := newRawClient(f.base)
	defer client.close()
	for range 3 { // stacks shrink by half in each
		if status, err := client.do(ctx, rawRequest("/gc", nil)); want(http.StatusOK, status, err) != nil {
			return processState{}, want(http.StatusOK, status, err)
		}
	}
	return readState(ctx, f.http, f.base.JoinPath("metrics"))
}

func (s *stage) metricsURL() *url.URL {
	if s.metrics != nil {
		return s.metrics
	}
	return s.target.base.JoinPath("metrics")
}

// readState asks a process for its metrics.
func readState(ctx context.Context, client *http.Client, at *url.URL) (m processState, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return m, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return m, fmt.Errorf("read the server's metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return m, fmt.Errorf("read the server's metrics at %s: %w", at, statusError(resp.StatusCode))
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return m, fmt.Errorf("read the server's metrics: %w", err)
	}
	value := func(name string) float64 {
		family := families[name]
		switch {
		case family == nil || len(family.Metric) == 0:
			return 0
		case family.GetType() == dto.MetricType_SUMMARY:
			return float64(family.Metric[0].GetSummary().GetSampleCount())
		}
		return family.Metric[0].GetGauge().GetValue() + family.Metric[0].GetCounter().GetValue() // it is one of them
	}
	m.alive = value("go_gc_heap_live_bytes") + value("go_memstats_stack_inuse_bytes")
	m.resident, m.cycles = value("process_resident_memory_bytes"), value("go_gc_duration_seconds")
	m.cpu = value("process_cpu_seconds_total")
	return m, nil
}

// lookAtMemory keeps the most that the server held.
func (s *stage) lookAtMemory(ctx context.Context) {
	m, err := readState(ctx, s.target.http, s.metricsURL())
	if err != nil {
		s.note("the server's memory is unknown: %v", err)
		return
	}
	s.memory = max(s.memory, m.resident)
}

// cpuUsed measures the cores that the server and the load generator keep busy
// until the returned function is called.
func (s *stage) cpuUsed(ctx context.Context) (end func(took time.Duration)) {
	before, err := readState(ctx, s.target.http, s.metricsURL())
	ours := ownCPU()
	return func(took time.Duration) {
		after, afterErr := readState(ctx, s.target.http, s.metricsURL())
		if err != nil || afterErr != nil {
			return // lookAtMemory says why
		}
		s.figure("processor time of the server", "cores").add((after.cpu - before.cpu) / took.Seconds())
		s.figure("processor time of the load generator", "cores").add((ownCPU() - ours).Seconds() / took.Seconds())
	}
}

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0 // never, for oneself
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
