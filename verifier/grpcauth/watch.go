package grpcauth

import "time"

// watch waits for the end of the handler, or of the token.
func (s *stream) watch(done <-chan outcome) (outcome, *refused) {
	timer := time.NewTimer(s.patience())
	defer timer.Stop()
	for {
		select {
		case result := <-done:
			return result, s.refusal.Load()
		case <-s.ended:
		case <-s.changed:
			s.look()
		case <-timer.C:
			s.look()
		}
		if refusal := s.refusal.Load(); refusal != nil {
			return outcome{}, refusal
		}
		timer.Reset(s.patience())
	}
}

// patience is for how long the token need not be looked at again.
func (s *stream) patience() time.Duration {
	every := s.auth.options.RecheckEvery
	due, ends := s.due()
	if !ends {
		return every
	}
	left := time.Until(due)
	if left <= 0 { // the verifier's clock is behind this one
		left = time.Second
	}
	return min(every, left)
}

// due is when a new decision is needed, or when it is to be seen whether the token that
// there is none on yet has expired.
func (s *stream) due() (due time.Time, ends bool) {
	if verified := s.verified.Load(); verified != nil {
		return verified.Deadline()
	}
	due = s.since.Add(firstMessage)
	if !s.expires.IsZero() && s.expires.Before(due) {
		due = s.expires
	}
	return due, true
}

// look looks at the token again.
func (s *stream) look() {
	if s.ctx.Err() != nil { // the client has gone, and the handler will notice
		s.changed = nil
		return
	}
	err := s.renew()
	if due, ends := s.due(); err == nil && ends && !time.Now().Before(due) {
		if s.verified.Load() == nil && time.Since(s.since) < firstMessage {
			err = s.unexpired()
		} else {
			err = s.check(s.latest(), nil)
		}
	}
	s.end(err)
}

// unexpired tells whether the token has not expired, by the verifier's clock.
func (s *stream) unexpired() (err error) {
	defer s.auth.settle(s.ctx, &s.opening, &err)
	_, err = s.authentic.Unexpired(s.ctx)
	return err
}

// renew tells whether the token would still be authenticated.
func (s *stream) renew() (err error) {
	defer s.auth.settle(s.ctx, &s.opening, &err)
	s.changed = s.auth.verifier.RevocationsChanged() // first, so that no change is missed
	return s.authentic.Reauthenticate(s.ctx)
}
