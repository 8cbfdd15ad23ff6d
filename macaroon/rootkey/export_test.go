package rootkey

import "time"

// SetWall puts another wall clock in a keyring that nobody uses yet.
func SetWall(k *Keyring, wall func() time.Time) { k.ring.wall = wall }
