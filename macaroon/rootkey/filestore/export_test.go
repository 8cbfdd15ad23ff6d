package filestore

const (
	Header  = header
	MaxFile = maxFile
)

var (
	OpenSet = openSet
	SealSet = sealSet
)

// SetBefore has a function called before each step of a write, which fails with its
// error.
func (s *Store) SetBefore(before func(step string) error) { s.before = before }
