package caveat_test

import (
	"testing"

	"github.com/amaretti-go/amaretti/caveat"
)

func BenchmarkCheck(b *testing.B) {
	ctx, req, registry := b.Context(), request(), caveat.Standard()
	for _, c := range ordinary {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := registry.Check(ctx, req, c.condition); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTime(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := caveat.Time.Parse("2026-11-22T08:44:22.123456789Z"); err != nil {
			b.Fatal(err)
		}
	}
}
