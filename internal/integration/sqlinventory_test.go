package integration_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
)

// strangeTexts are those that mean something to somebody.
var strangeTexts = []string{
	`'; DROP TABLE amaretti_minted; --`, `" OR "" = "`, `' OR '1' = '1`, `%`, `_`, `a%`, `a_b`, `\`, `\'`, `$1`, `?1`, `@minted`, `:name`,
	`NULL`, ` `, `a b`, "ключ", "🔑", "e\u0301", "\u00e9", `BYTES`, `0x00`, `A`, `a`, `a `, "\ufeff",
}

func TestInventoryTexts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, server sqlServer) {
		inventory := server.inventory(t, "")
		expiry := time.Date(2026, 7, 1, 12, 0, 0, 123_456_789, time.FixedZone("", 3600))
		began := time.Now().Truncate(time.Microsecond)
		for i, text := range strangeTexts {
			require.NoError(t, inventory.RecordMint(t.Context(), [16]byte{1, byte(i)}, text, "of the subject", "one", expiry))
			require.NoError(t, inventory.RecordMint(t.Context(), [16]byte{2, byte(i)}, "of the label", text, "two", expiry))
		}
		for i, text := range strangeTexts {
			for what, row := range map[string]struct {
				query sqlstore.Query
				want  sqlstore.Minted
			}{
				"subject":  {sqlstore.Query{Subject: text}, sqlstore.Minted{TokenID: [16]byte{1, byte(i)}, Subject: text, Label: "of the subject", KeyID: "one"}},
				"label":    {sqlstore.Query{Label: text}, sqlstore.Minted{TokenID: [16]byte{2, byte(i)}, Subject: "of the label", Label: text, KeyID: "two"}},
				"token id": {sqlstore.Query{TokenID: [16]byte{1, byte(i)}}, sqlstore.Minted{TokenID: [16]byte{1, byte(i)}, Subject: text, Label: "of the subject", KeyID: "one"}},
				"both":     {sqlstore.Query{Subject: "of the label", Label: text}, sqlstore.Minted{TokenID: [16]byte{2, byte(i)}, Subject: "of the label", Label: text, KeyID: "two"}},
			} {
				found, err := inventory.Find(t.Context(), row.query)
				require.NoError(t, err)
				require.Len(t, found, 1, "%s %q", what, text)
				require.False(t, found[0].Minted.Before(began))
				require.False(t, found[0].Minted.After(time.Now()))
				row.want.Minted, row.want.Expiry = found[0].Minted, expiry.UTC().Truncate(time.Microsecond)
				require.Equal(t, row.want, found[0])
			}
			found, err := inventory.Find(t.Context(), sqlstore.Query{Subject: text, Label: text})
			require.NoError(t, err)
			require.Empty(t, found, "all fields must agree")
		}
		found, err := inventory.Find(t.Context(), sqlstore.Query{KeyID: "two"})
		require.NoError(t, err)
		require.Len(t, found, len(strangeTexts))
		found, err = inventory.Find(t.Context(), sqlstore.Query{Label: "unheard of"})
		require.NoError(t, err)
		require.Empty(t, found)

		err = inventory.RecordMint(t.Context(), [16]byte{1}, "again", "again", "one", expiry)
		require.ErrorContains(t, err, "sqlstore: record: ", "a token id is there once")
	})
}

func TestInventoryPages(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, server sqlServer) {
		inventory, db := server.inventory(t, ""), server.open(t)
		const all = 120
		for i := range all {
			require.NoError(t, inventory.RecordMint(t.Context(), numberedToken(i), "s", "l", "k", time.Now().Add(time.Hour)))
		}
		require.NoError(t, inventory.RecordMint(t.Context(), numberedToken(all), "s", "another", "k", time.Now().Add(time.Hour)))
		// Many at the same microsecond, so that a page ends among them.
		server.exec(t, db, `UPDATE amaretti_minted SET minted = minted - minted % 1000000000`)

		var ids [][16]byte
		query := sqlstore.Query{Label: "l", Limit: 7}
		for {
			page, err := inventory.Find(t.Context(), query)
			require.NoError(t, err)
			for _, m := range page {
				ids = append(ids, m.TokenID)
			}
			if len(page) < query.Limit {
				break
			}
			query.After = page[len(page)-1]
			// What comes meanwhile is newer, and moves nothing.
			require.NoError(t, inventory.RecordMint(t.Context(), numberedToken(1000+len(ids)), "s", "l", "k", time.Now().Add(time.Hour)))
		}
		require.Len(t, ids, all)
		require.True(t, slices.IsSortedFunc(ids, func(a, b [16]byte) int { return bytes.Compare(b[:], a[:]) }))
		require.Len(t, slices.Compact(ids), all)

		page, err := inventory.Find(t.Context(), sqlstore.Query{Label: "l"})
		require.NoError(t, err)
		require.Len(t, page, 100, "unless it is said otherwise")
		require.True(t, slices.IsSortedFunc(page, func(a, b sqlstore.Minted) int { return b.Minted.Compare(a.Minted) }), "the last first")
		page, err = inventory.Find(t.Context(), sqlstore.Query{Label: "l", Limit: 1000})
		require.NoError(t, err)
		require.Len(t, page, all+all/7)
	})
}

func numberedToken(i int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(i)*0x9e3779b97f4a7c15)
	id[15] = 1
	return id
}

func TestInventoryPrune(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, server sqlServer) {
		inventory, other := server.inventory(t, "mine"), server.inventory(t, "other")
		now := time.Now().Truncate(time.Microsecond)
		for i := range 10 {
			id, expiry := [16]byte{byte(i)}, now.Add(time.Duration(i-5)*time.Microsecond)
			require.NoError(t, inventory.RecordMint(t.Context(), id, "s", "l", "k", expiry))
			require.NoError(t, other.RecordMint(t.Context(), id, "s", "l", "k", expiry), "each name has tokens of its own")
		}
		n, err := inventory.Prune(t.Context(), now)
		require.NoError(t, err)
		require.EqualValues(t, 5, n)
		left, err := inventory.Find(t.Context(), sqlstore.Query{Label: "l"})
		require.NoError(t, err)
		require.Len(t, left, 5)
		for _, m := range left {
			require.False(t, m.Expiry.Before(now))
		}
		n, err = inventory.Prune(t.Context(), now)
		require.NoError(t, err)
		require.Zero(t, n)
		n, err = inventory.Prune(t.Context(), time.Time{})
		require.NoError(t, err)
		require.Zero(t, n)
		left, err = other.Find(t.Context(), sqlstore.Query{Label: "l"})
		require.NoError(t, err)
		require.Len(t, left, 10)
	})
}
