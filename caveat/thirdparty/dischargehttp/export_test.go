package dischargehttp

// Clients is how many clients a service remembers failures of.
func Clients(s *Service) int {
	s.failures.mu.Lock()
	defer s.failures.mu.Unlock()
	return len(s.failures.counts)
}
