package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress tells who waits what is being done: as bars on a terminal, as a line
// for each scenario elsewhere.
type progress struct {
	out  io.Writer
	bars bool
}

func newProgress(out io.Writer) *progress {
	file, ok := out.(*os.File)
	return &progress{out: out, bars: ok && term.IsTerminal(int(file.Fd()))}
}

// say prints a line.
func (p *progress) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// begin shows that something begins that takes about that long; 0: nobody knows.
// What it returns ends it.
func (p *progress) begin(what string, length time.Duration) (end func()) {
	if !p.bars {
		return func() {}
	}
	const tick = 100 * time.Millisecond
	most := int64(length / tick)
	if most == 0 {
		most = -1 // a spinner
	}
	bar := progressbar.NewOptions64(most, progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription(fmt.Sprintf("%-44s", what)),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false), progressbar.OptionSetWidth(30))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for n := int64(0); ; {
			select {
			case <-ticker.C:
				if n++; most < 0 || n < most { // it is full when it has ended
					_ = bar.Add(1) // a terminal that can't be written to shows nothing
				}
			case <-stop:
				_ = bar.Finish() // likewise
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}
