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
	"decide":            "Decide: header value in, identity out",
	"decide-same":       "Decide on a token that was seen before",
	"decide-narrowed":   "Decide on a token that is narrowed afresh for each request, by two caveats",
	"decide-discharged": "Decide on a token with the discharge of a third party, which the cache has seen before",
	"replay":            "Replay of many clients' requests, each narrowed afresh by two caveats",
	"mint":              "Mint: grant in, text out",
	"attenuate":         "Attenuate: one more caveat, text out",
	"narrow":            "Narrow for one request: expiry, method, path and host, text out",
	"parse":             "Parse: text in, nothing verified",
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
					row = append(row, "")
					continue
				}
				row = append(row, fmt.Sprintf("%.2f", r.Nanoseconds/1000))
				if n == detailed {
					last = []string{strconv.FormatUint(r.Allocs, 10), strconv.FormatUint(r.Bytes, 10), fmt.Sprintf("%.0f", r.AllCores/1000)}
				}
			}
			if last != nil {
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
	rows = append(rows, grpcTargets(results)...)
	if _, err := fmt.Fprintf(w, "%s\n", markdown(rows)); err != nil {
		return err
	}
	return writeCacheTargets(w, results)
}

// cacheTargets are the ratios that the cache is held to, of two works about tokens of five caveats.
var cacheTargets = []struct {
	what      string
	work      string // of the cached one, as a part of
	than, who string
	ratio     float64
}{
	{"the same token, as a part of the decision without", "decide-same", "decide", amarettiName, 0.2},
	{"and of jwt-hs256's", "decide-same", "decide", "jwt-hs256", 0.1},
	{"narrowed by two fresh caveats, as a part of the same without", "decide-narrowed", "decide-narrowed", amarettiName, 0.6},
	{"with a discharge, as a part of the same without", "decide-discharged", "decide-discharged", amarettiName, 0.2},
}

const (
	minScaling = 0.9 // of what all cores do more than one, as a part of floor's
	minHitRate = 0.98
)

func writeCacheTargets(w io.Writer, results []result) error {
	rows := [][]string{{"amaretti-cached's decisions on five caveats", "measured", "target", ""}}
	add := func(what string, measured, target float64, met bool) {
		rows = append(rows, []string{what, fmt.Sprintf("%.3f", measured), fmt.Sprintf("%.2f", target), verdict(met)})
	}
	for _, t := range cacheTargets {
		ours, found := find(results, t.work, detailed, cachedName)
		theirs, foundToo := find(results, t.than, detailed, t.who)
		if found && foundToo {
			ratio := ours.Nanoseconds / theirs.Nanoseconds
			add(t.what, ratio, t.ratio, ratio <= t.ratio)
		}
	}
	same, found := find(results, "decide-same", detailed, cachedName)
	floor, foundToo := find(results, "decide", detailed, floorName)
	if found && foundToo {
		scaling := same.AllCores * same.Nanoseconds / (floor.AllCores * floor.Nanoseconds)
		add("what all cores do more than one, as a part of floor's", scaling, minScaling, scaling >= minScaling)
	}
	if r, found := find(results, "replay", detailed, cachedName); found {
		add("requests of the replay that were known in part", r.HitRate, minHitRate, r.HitRate >= minHitRate)
	}
	if len(rows) == 1 {
		return nil
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
			widths[i] = max(widths[i], len([]rune(text)), 2) // room for "-:"
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
