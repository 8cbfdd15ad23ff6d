package rootkey

import "time"

// SetWall puts another wall clock in a keyring that nobody uses yet.
func SetWall(k *Keyring, wall func() time.Time) { k.ring.wall = wall }

// WhileLocked does something while nobody can change what a keyring remembers.
func WhileLocked(k *Keyring, do func()) {
	k.ring.mu.Lock()
	defer k.ring.mu.Unlock()
	do()
}
