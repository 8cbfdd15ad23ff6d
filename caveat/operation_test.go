package caveat_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

func TestValidOperation(t *testing.T) {
	for _, op := range []string{"a", "orders.read", "a.b.c", "0", "_", "-", "a-b_c.d"} {
		require.True(t, caveat.ValidOperation(op), op)
	}
	for _, op := range []string{"", "*", "orders.*", ".", "a.", ".a", "a..b", "A", "a b", "a/b", "a:b", "ä", "a\n", "a\x00"} {
		require.False(t, caveat.ValidOperation(op), op)
	}
}

func TestOperationCovers(t *testing.T) {
	for _, row := range []struct {
		name, pattern, operation string
		want                     bool
	}{
		{"itself", "orders.read", "orders.read", true},
		{"deeper", "orders.*", "orders.read", true},
		{"much deeper", "orders.*", "orders.items.read", true},
		{"all", "*", "orders.read", true},
		{"all, every operation", "*", caveat.AnyOperation, true},
		{"not its root", "orders.*", "orders", false},
		{"not a longer word", "orders.*", "orders2.read", false},
		{"not what is deeper", "orders", "orders.read", false},
		{"not every operation", "orders.*", caveat.AnyOperation, false},
		{"one is not every operation", "orders", caveat.AnyOperation, false},
		{"empty pattern", "", "orders", false},
		{"empty operation", "*", "", false},
		{"both empty", "", "", false},
		{"malformed operation", "*", "Orders", false},
		{"malformed alike", "Orders", "Orders", false},
		{"pattern as operation", "orders.*", "orders.*", false},
		{"asterisk inside", "orders.re*", "orders.read", false},
		{"dot and asterisk", ".*", ".a", false},
		{"two asterisks", "orders.*.*", "orders.a.b", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.want, caveat.OperationCovers(row.pattern, row.operation))
		})
	}
}
