package main

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// writeChart draws the time of a decision over the number of caveats, both on logarithmic axes, in the format
// that the name of the file ends in.
func writeChart(file string, results []result) error {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text = "One decision: header value in, identity out"
	p.Title.Padding = vg.Points(6)
	p.X.Label.Text = "caveats"
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = atCaveats{}
	p.X.Max = 250 // room for the legend
	p.Y.Label.Text = "µs"
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.LogTicks{Prec: -1}
	p.Add(plotter.NewGrid())
	p.Legend.Top = true
	p.Legend.Padding = vg.Points(3)

	for i, e := range entries() {
		var points plotter.XYs
		work := "decide"
		if e.name == cachedName {
			work = "decide-same"
		}
		for _, n := range caveats {
			if r, found := find(results, work, n, e.name); found {
				points = append(points, plotter.XY{X: float64(n), Y: r.Nanoseconds / 1000})
			}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return fmt.Errorf("bench: chart: %s: %w", e.name, err)
		}
		line.Color, line.Width = plotutil.SoftColors[i%len(plotutil.SoftColors)], vg.Points(1.5)
		switch e.name {
		case amarettiName:
			line.Color, line.Width = color.Black, vg.Points(3)
		case cachedName:
			line.Color, line.Width, line.Dashes = color.Black, vg.Points(3), plotutil.Dashes(1)
		case floorName:
			line.Color, line.Dashes = color.Gray{Y: 0x80}, plotutil.Dashes(1)
		}
		dots.Color, dots.Shape = line.Color, plotutil.Shape(i)
		p.Add(line, dots)
		p.Legend.Add(e.name, line, dots)
	}

	if err := p.Save(18*vg.Centimeter, 12*vg.Centimeter, file); err != nil {
		return fmt.Errorf("bench: chart: %w", err)
	}
	return nil
}

// atCaveats puts ticks where something was measured.
type atCaveats struct{}

func (atCaveats) Ticks(_, _ float64) []plot.Tick {
	ticks := make([]plot.Tick, 0, len(caveats))
	for _, n := range caveats {
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: fmt.Sprint(n)})
	}
	return ticks
}
