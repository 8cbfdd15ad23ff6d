// Command bench compares Amaretti with other libraries at the same work, side by side in one process:
//
//	go run ./internal/bench                 tables, and a chart in bench.svg
//	go run ./internal/bench -json           one JSON object a line instead
//
// The work is that of a service: decide (header value in; decode, parse, find the key, verify, check every
// restriction against a request; identity out), mint, attenuate and parse, for tokens with 1, 5, 10 and 50
// restrictions. All carry the same: subject, key id, token id, time of issue, expiry, operations, audience,
// method, path, then more of the same; with one restriction it is the expiry. All check all of it. Whoever
// can't do a work has no row for it: a signed token can't be attenuated, an encrypted one not parsed
// without its key.
//
// Amaretti's verifier has a cache, and decides on what comes for the first time without it. The decisions that
// all contenders make are of that sort: amaretti computes all of it each time. What the cache makes of the rest is
// in rows of its own, beside the same work without it: the same token again, a token that is narrowed afresh for
// each request by two caveats, a token with the discharge of a third party, and a replay of 100,000 requests by 1,000
// clients that narrow for each.
//
// Times are medians of many short runs, which take turns; on a noisy machine trust the ratios more than the
// numbers.
//
// One more number stands among the targets: what it costs to ask a list of a million revocations about a token.
//
//   - work.go is the work, the same for everybody; contender.go what a contender is, and the list of them.
//   - One file for each contender.
//   - run.go measures; report.go and chart.go show.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"
)

func main() {
	asJSON := flag.Bool("json", false, "print one JSON object a line, and no tables and no chart")
	chart := flag.String("chart", "bench.svg", "the `file` to write the chart to")
	budget := flag.Duration("for", 34*time.Second, "how long to measure")
	flag.Parse()
	if err := compare(*asJSON, *chart, *budget); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compare(asJSON bool, chart string, budget time.Duration) error {
	cells, err := newCells(time.Now().Add(time.Hour).Truncate(time.Second), sizes{requests: 100_000, revocations: 1_000_000})
	if err != nil {
		return err
	}
	results, err := run(cells, budget)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	if asJSON {
		if err := writeJSON(out, results); err != nil {
			return err
		}
		return out.Flush()
	}
	fmt.Fprint(out, heading(time.Now(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH, runtime.GOMAXPROCS(0)))
	if err := writeTable(out, results); err != nil {
		return err
	}
	if err := writeTargets(out, results); err != nil {
		return err
	}
	if err := writeChart(chart, results); err != nil {
		return err
	}
	fmt.Fprintf(out, "The chart is in %s.\n", chart)
	return out.Flush()
}
