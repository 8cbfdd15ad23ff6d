package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// writeJSON writes one object a line.
func writeJSON(w io.Writer, results []result) error {
	encoder := json.NewEncoder(w)
	for _, r := range results {
		if err := encoder.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// titles say what each work is.
var titles = map[string]string{
	"decide":    "Decide: header value in, identity out",
	"mint":      "Mint: grant in, text out",
	"attenuate": "Attenuate: one more caveat, text out",
	"narrow":    "Narrow for one request: expiry, method, path and host, text out",
	"parse":     "Parse: text in, nothing verified",
}

// detailed is the number of caveats for which the table shows more than the time.
const detailed = 5

// writeTable writes one table in Markdown for each work.
func writeTable(w io.Writer, results []result) error {
	for _, work := range works {
		rows := [][]string{{"µs per operation, by caveats"}}
		for _, n := range caveats {
			rows[0] = append(rows[0], strconv.Itoa(n))
		}
		rows[0] = append(rows[0], "allocations*", "bytes*", "1000/s, all cores*")
		for _, e := range entries() {
			row := []string{e.name}
			var last []string
			for _, n := range caveats {
				r, found := find(results, work, n, e.name)
				if !found {
					break
				}
				row = append(row, fmt.Sprintf("%.2f", r.Nanoseconds/1000))
				if n == detailed {
					last = []string{strconv.FormatUint(r.Allocs, 10), strconv.FormatUint(r.Bytes, 10), fmt.Sprintf("%.0f", r.AllCores/1000)}
				}
			}
			if len(row) > 1 {
				rows = append(rows, append(row, last...))
			}
		}
		if _, err := fmt.Fprintf(w, "%s\n\n%s\n", titles[work], markdown(rows)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "* with %d caveats\n\n", detailed)
	return err
}

func find(results []result, work string, caveats int, who string) (result, bool) {
	i := slices.IndexFunc(results, func(r result) bool {
		return r.Work == work && r.Caveats == caveats && r.Who == who
	})
	if i < 0 {
		return result{}, false
	}
	return results[i], true
}

// targets are the ratios that Amaretti's decision on five caveats is held to.
var targets = []struct {
	who   string
	ratio float64
}{{"floor", 1.8}, {"macaroon.v2", 0.55}, {"bakery", 0.35}, {"jwt-hs256", 0.55}, {"jwt-es256", 0.05}}

// What narrowing a token of five caveats for one request may take.
const (
	maxNarrowing       = 3 * time.Microsecond
	maxNarrowingAllocs = 12
)

// maxRevocations is how long asking about one token may take.
const maxRevocations = 200 * time.Nanosecond

// maxAllocs is how often that decision may allocate.
const maxAllocs = 8

// writeTargets says of each target whether it is met.
func writeTargets(w io.Writer, results []result) error {
	ours, found := find(results, "decide", detailed, amarettiName)
	if !found {
		return nil
	}
	rows := [][]string{{"amaretti's decision on five caveats", "measured", "target", ""}}
	for _, t := range targets {
		theirs, found := find(results, "decide", detailed, t.who)
		if !found {
			continue
		}
		ratio := ours.Nanoseconds / theirs.Nanoseconds
		rows = append(rows, []string{"time, as a part of " + t.who + "'s", fmt.Sprintf("%.3f", ratio), fmt.Sprintf("%.2f", t.ratio), verdict(ratio <= t.ratio)})
	}
	rows = append(rows, []string{"allocations", strconv.FormatUint(ours.Allocs, 10), strconv.Itoa(maxAllocs), verdict(ours.Allocs <= maxAllocs)})
	if r, found := find(results, "narrow", detailed, amarettiName); found {
		most := float64(maxNarrowing)
		rows = append(rows,
			[]string{"narrowing for one request, µs", fmt.Sprintf("%.2f", r.Nanoseconds/1000), fmt.Sprintf("%.0f", most/1000), verdict(r.Nanoseconds <= most)},
			[]string{"and its allocations", strconv.FormatUint(r.Allocs, 10), strconv.Itoa(maxNarrowingAllocs), verdict(r.Allocs <= maxNarrowingAllocs)})
	}
	if r, found := find(results, revocationsWork, detailed, amarettiName); found {
		most := float64(maxRevocations)
		rows = append(rows, []string{"is it revoked, among a million, ns", fmt.Sprintf("%.0f", r.Nanoseconds), fmt.Sprintf("%.0f", most), verdict(r.Nanoseconds <= most && r.Allocs == 0)})
	}
	_, err := fmt.Fprintf(w, "%s\n", markdown(rows))
	return err
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

// markdown lays out a table; its first row is the head, its first column text, the others numbers.
func markdown(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], len([]rune(text)))
		}
	}
	var b strings.Builder
	for i, row := range rows {
		for j, text := range row {
			pad := strings.Repeat(" ", widths[j]-len([]rune(text)))
			if j == 0 {
				b.WriteString("| " + text + pad + " |")
			} else {
				b.WriteString(" " + pad + text + " |")
			}
		}
		b.WriteString("\n")
		if i > 0 {
			continue
		}
		for j, width := range widths {
			if j == 0 {
				b.WriteString("| " + strings.Repeat("-", width) + " |")
			} else {
				b.WriteString(" " + strings.Repeat("-", width-1) + ": |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// heading says what was measured on what.
func heading(now time.Time, goVersion, system string, cores int) string {
	return fmt.Sprintf("%s, %s, %s, %d cores; medians of interleaved runs\n\n", now.Format(time.DateOnly), goVersion, system, cores)
}
