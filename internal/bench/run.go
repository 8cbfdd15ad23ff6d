package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
)

// A cell is one number of the table in the making: one contender doing one work for tokens of one size.
type cell struct {
	work    string
	caveats int
	who     string
	op      func() error
	hitRate func() float64 // of a replay, else nil
	rival   *cell          // whose operations take turns with this one's, or nil
	turns   bool           // whether this is one's rival, and measured with it

	batch       int       // operations at a time
	nanoseconds []float64 // for each operation, by round
	allCores    []float64 // operations a second on all cores, by round
	allocs      uint64    // for each operation
	bytes       uint64
}

// A result is what a cell came to. It is also a line of -json.
type result struct {
	Work        string  `json:"work"`
	Caveats     int     `json:"caveats"`
	Who         string  `json:"who"`
	Nanoseconds float64 `json:"ns"`
	Allocs      uint64  `json:"allocs"`
	Bytes       uint64  `json:"bytes"`
	AllCores    float64 `json:"ops_all_cores"`
	HitRate     float64 `json:"hit_rate,omitempty"` // of a replay
}

var (
	works   = []string{"decide", "decide-same", "decide-narrowed", "decide-discharged", "replay", "mint", "attenuate", "narrow", "parse"}
	caveats = []int{1, 5, 10, 50}
)

// sizes are how much is looked at beforehand, in works where that matters.
type sizes struct {
	requests    int // of the replay
	revocations int // that there are
}

// newCells sets up every contender for every number of caveats and every work that it can do, and does each once.
func newCells(expiry time.Time, s sizes) ([]*cell, error) {
	var cells []*cell
	for _, n := range caveats {
		for _, e := range entries() {
			c, err := e.make(newGrant(n, expiry))
			if err != nil {
				return nil, fmt.Errorf("bench: %s: %w", e.name, err)
			}
			ops, err := newOps(c, s.requests)
			if err != nil {
				return nil, fmt.Errorf("bench: %s with %d caveats: %w", e.name, n, err)
			}
			for _, work := range works {
				op := ops[work]
				if op == nil {
					continue
				}
				if err := op(); err != nil {
					return nil, fmt.Errorf("bench: %s with %d caveats: %s: %w", e.name, n, work, err)
				}
				made := &cell{work: work, caveats: n, who: e.name, op: op}
				if special, ok := c.(specialist); ok && work == "replay" {
					made.hitRate = special.hitRate
				}
				cells = append(cells, made)
			}
		}
	}
	revocations, err := newRevocationsCell(expiry, s.revocations)
	if err != nil {
		return nil, fmt.Errorf("bench: revocations: %w", err)
	}
	cells = append(cells, revocations)
	// Those that are compared run one after the other.
	slices.SortStableFunc(cells, func(a, b *cell) int {
		return slices.Index(works, a.work) - slices.Index(works, b.work)
	})
	more, err := newGRPCCells(expiry)
	return append(cells, more...), err
}

// newOps returns the works that a contender can do, by name.
func newOps(c contender, requests int) (map[string]func() error, error) {
	if s, ok := c.(specialist); ok {
		return s.ops(requests)
	}
	text, err := c.mint()
	if err != nil {
		return nil, err
	}
	ops := map[string]func() error{
		"decide": decideOp(c, text),
		"mint": func() error {
			_, err := c.mint()
			return err
		},
	}
	if d, ok := c.(delegate); ok {
		delegated, err := delegatedOps(c, d, text)
		if err != nil {
			return nil, err
		}
		maps.Copy(ops, delegated)
	}
	if h, ok := c.(holder); ok {
		narrow, err := h.hold(text)
		if err != nil {
			return nil, err
		}
		ops["attenuate"] = func() error {
			_, err := narrow()
			return err
		}
	}
	if s, ok := c.(sender); ok {
		narrow, err := s.send(text)
		if err != nil {
			return nil, err
		}
		ops["narrow"] = func() error {
			_, err := narrow()
			return err
		}
	}
	if r, ok := c.(reader); ok {
		ops["parse"] = func() error { return r.read(text) }
	}
	return ops, nil
}

// slice is how long one batch takes, about: long beside the clock's resolution, short beside the turns that
// other processes get, so that most batches run undisturbed even on a busy machine.
const slice = time.Millisecond

// heap is about that of a small service, in bytes. A process with next to none that collects before each work
// gives its pages back in between, and whoever allocates then pays the kernel for getting them again.
const heap = 64 << 20

// run measures all cells for the time given: in each round each cell once, so that whatever disturbs the
// machine disturbs all alike, and medians at the end.
func run(cells []*cell, budget time.Duration) ([]result, error) {
	held := make([]byte, heap)
	defer runtime.KeepAlive(held)
	end := time.Now().Add(budget)
	for _, c := range cells {
		if err := c.calibrate(); err != nil {
			return nil, err
		}
	}
	for round := 0; round < 3 || time.Now().Before(end); round++ {
		for i, c := range cells {
			if i == 0 || !c.comparedWith(cells[i-1]) {
				runtime.GC() // nobody pays for what others left
			}
			if err := c.measure(); err != nil {
				return nil, err
			}
		}
		slices.Reverse(cells) // nobody always runs in the wake of the same neighbour
	}
	results := make([]result, 0, len(cells))
	for _, c := range cells {
		r := result{c.work, c.caveats, c.who,
			math.Round(median(c.nanoseconds)*10) / 10, c.allocs, c.bytes, math.Round(median(c.allCores)), 0}
		if c.hitRate != nil {
			r.HitRate = math.Round(c.hitRate()*1e4) / 1e4
		}
		results = append(results, r)
	}
	slices.SortFunc(results, compareResults)
	return results, nil
}

// compareResults is the order of the table.
func compareResults(a, b result) int {
	if d := slices.Index(works, a.Work) - slices.Index(works, b.Work); d != 0 {
		return d
	}
	if d := a.Caveats - b.Caveats; d != 0 {
		return d
	}
	place := func(who string) int {
		return slices.IndexFunc(entries(), func(e entry) bool { return e.name == who })
	}
	return place(a.Who) - place(b.Who)
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	if len(xs)%2 == 0 {
		return (xs[len(xs)/2-1] + xs[len(xs)/2]) / 2
	}
	return xs[len(xs)/2]
}

// calibrate finds the batch that takes about a slice, and counts allocations.
func (c *cell) calibrate() error {
	for c.batch = 1; ; c.batch *= 2 {
		best := time.Duration(math.MaxInt64)
		for range 3 { // the machine may be busy elsewhere in one or two of them
			took, err := c.times(c.batch)
			if err != nil {
				return err
			}
			best = min(best, took)
		}
		if best > slice/4 {
			c.batch = max(1, int(float64(c.batch)*float64(slice)/float64(best)))
			break
		}
	}
	var before, after runtime.MemStats
	n := min(c.batch, 256)
	runtime.ReadMemStats(&before)
	if _, err := c.times(n); err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	c.allocs = (after.Mallocs - before.Mallocs) / uint64(n)
	c.bytes = (after.TotalAlloc - before.TotalAlloc) / uint64(n)
	return nil
}

// comparedWith tells whether two cells do the same work.
func (c *cell) comparedWith(other *cell) bool {
	return c.work == other.work && c.caveats == other.caveats
}

// measure runs one batch alone, and one on each core at once.
func (c *cell) measure() error {
	if err := c.alone(); err != nil {
		return err
	}
	cores := runtime.GOMAXPROCS(0)
	errs := make([]error, cores)
	var all sync.WaitGroup
	start := time.Now()
	for i := range cores {
		all.Go(func() { _, errs[i] = c.times(c.batch) })
	}
	all.Wait()
	c.allCores = append(c.allCores, float64(cores*c.batch)/time.Since(start).Seconds())
	return errors.Join(errs...)
}

func (c *cell) alone() error {
	if c.turns {
		return nil
	}
	if _, err := c.times(1 + c.batch/4); err != nil { // nobody pays for the caches that another filled
		return err
	}
	if c.rival != nil {
		return c.takeTurns()
	}
	took, err := c.times(c.batch)
	c.nanoseconds = append(c.nanoseconds, float64(took)/float64(c.batch))
	return err
}

// takeTurns measures two cells whose operations wait for other goroutines and the kernel: one is quicker than the
// other for many batches on end, and then the other way round.
func (c *cell) takeTurns() error {
	var took, rivals time.Duration
	for range c.batch {
		one, err := c.times(1)
		if err != nil {
			return err
		}
		other, err := c.rival.times(1)
		if err != nil {
			return err
		}
		took, rivals = took+one, rivals+other
	}
	c.nanoseconds = append(c.nanoseconds, float64(took)/float64(c.batch))
	c.rival.nanoseconds = append(c.rival.nanoseconds, float64(rivals)/float64(c.batch))
	return nil
}

// times does the work n times and returns how long that took.
func (c *cell) times(n int) (time.Duration, error) {
	start := time.Now()
	for range n {
		if err := c.op(); err != nil {
			return 0, fmt.Errorf("bench: %s with %d caveats: %s: %w", c.who, c.caveats, c.work, err)
		}
	}
	return time.Since(start), nil
}
