package main

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"
)

// people are those whom the identity service knows. A real one limits how often a password may be tried.
type people struct{ byName map[string]person }

type person struct {
	salt, hash []byte
	teams      []string
}

func newPeople() *people {
	return &people{map[string]person{
		"ann": newPerson("biscotti", "acme", "bakers"),
		"bob": newPerson("biscotti"),
	}}
}

func newPerson(password string, teams ...string) person {
	salt := []byte(rand.Text())
	return person{salt, hash(password, salt), teams}
}

func hash(password string, salt []byte) []byte {
	key, err := pbkdf2.Key(sha256.New, password, salt, 600_000, sha256.Size)
	if err != nil {
		panic(err) // the numbers are good ones
	}
	return key
}

func (p *people) teams(name string) []string { return p.byName[name].teams }

// check takes as long for a name that nobody has.
func (p *people) check(name, password string) bool {
	who, known := p.byName[name]
	return subtle.ConstantTimeCompare(hash(password, who.salt), who.hash) == 1 && known
}

// sessions remember who logged in with which browser.
type sessions struct {
	mu     sync.Mutex
	byHash map[[sha256.Size]byte]session
}

type session struct {
	user  string
	until time.Time
}

const (
	sessionCookie   = "session"
	sessionLifetime = time.Hour
)

func newSessions() *sessions { return &sessions{byHash: make(map[[sha256.Size]byte]session)} }

func (s *sessions) begin(w http.ResponseWriter, r *http.Request, user string) {
	secret := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, old := range s.byHash {
		if time.Now().After(old.until) {
			delete(s.byHash, key)
		}
	}
	s.byHash[sha256.Sum256([]byte(secret))] = session{user, time.Now().Add(sessionLifetime)}
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: secret, Path: "/", MaxAge: int(sessionLifetime.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
}

// user gives who is logged in, or nobody.
func (s *sessions) user(r *http.Request) string {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.byHash[sha256.Sum256([]byte(cookie.Value))]
	if time.Now().After(found.until) {
		return ""
	}
	return found.user
}
