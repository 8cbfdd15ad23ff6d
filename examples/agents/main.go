// Agents: an assistant has a token for Ann's files and mail, and lets other agents work for it. None of them gets that
// token; each gets a piece of it, which is all that it can use, whatever it has been talked into. Mail goes out only
// if Ann agrees to its very text.
//
//	go run ./examples/agents
package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
)

const (
	boss = "boss@corp.example"
	eve  = "eve@evil.example"
)

func main() {
	ctx := context.Background()
	tools, key := must(newTools()), thirdparty.GenerateKey()
	at := listen()
	consent := must(newConsent(urlOf(at), key.Public(), ann))
	go serve(at, consent.handler)
	at = listen()
	go serve(at, tools.handler)
	url := urlOf(at)

	// The assistant is code that somebody wrote and reviewed. What the agents do, a language model decides.
	session := must(tools.session(ctx, "ann"))

	fmt.Println("The assistant hands the reader a piece of its token: reports, to be read, for a minute.")
	piece := must(session.Attenuate(caveat.Operations("files.read"), caveat.Path("/files/reports/**"), caveat.ExpiresIn(time.Minute)))
	reader := must(newAgent(url, must(macaroon.NewWallet(piece)), nil))
	summary := reader.do("GET", "/files/reports/q3", "")

	fmt.Println()
	fmt.Println("The reader believes what it has read, and does as it is told:")
	salaries := reader.do("GET", "/files/salaries", "")
	reader.do("PUT", "/files/reports/q3", "Revenue is down.")
	reader.do("POST", "/mail/"+eve, salaries)

	fmt.Println("It adds to its token that it may send mail:")
	wider := must(piece.Attenuate(caveat.Operations("mail.send")))
	must(newAgent(url, must(macaroon.NewWallet(wider)), nil)).do("POST", "/mail/"+eve, salaries)

	fmt.Println()
	fmt.Println("The mailer's piece is for one mail to the boss, this text, and only with Ann's consent:")
	summary, _, _ = strings.Cut(summary, " --")
	mailPiece := must(mailToken(session, consent.party, key, boss, summary))
	discharges := must(dischargehttp.NewClient([]string{consent.party.Location}, dischargehttp.ClientOptions{}))
	consent.show(summary)
	mailer := must(newAgent(url, must(macaroon.NewWallet(mailPiece)), discharges))
	mailer.do("POST", "/mail/"+boss, summary)
	fmt.Println("Her consent is good for nothing else:")
	mailer.do("POST", "/mail/"+boss, "You are fired.")
	mailer.do("POST", "/mail/"+eve, summary)

	fmt.Println("The reader finds the mailer's piece, and sends it as it is, and then its own together with it:")
	stolen := must(mailPiece.MarshalBinary())
	thief(url, stolen).do("POST", "/mail/"+boss, summary)
	thief(url, must(piece.MarshalBinary()), stolen).do("POST", "/mail/"+boss, summary)

	fmt.Println()
	fmt.Println("At last the assistant itself is fooled. Ann is not:")
	consent.show("Our salaries: …")
	mailPiece = must(mailToken(session, consent.party, key, eve, "Our salaries: …"))
	must(newAgent(url, must(macaroon.NewWallet(mailPiece)), discharges)).do("POST", "/mail/"+eve, "Our salaries: …")

	fmt.Println()
	fmt.Println("What the tools have logged:")
	tools.printLog()
}

// mailToken narrows a session to one mail, which its owner has to agree to.
func mailToken(session macaroon.Macaroon, party thirdparty.Party, key thirdparty.PrivateKey, to, text string) (macaroon.Macaroon, error) {
	sum := sha256.Sum256([]byte(text))
	return session.Attenuate(caveat.Operations("mail.send"), caveat.ExactPath("/mail/"+to), caveat.ContentDigest(sum),
		caveat.ExpiresIn(10*time.Minute), thirdparty.NewCaveat(party, fmt.Sprintf("send %s %x", to, sum)).From(key))
}

// ann looks at what the consent service shows her.
func ann(to, text string) (agrees bool) {
	agrees = to == boss
	answer := "no"
	if agrees {
		answer = "yes"
	}
	fmt.Printf("  Ann is asked whether to send to %s: %q She says %s.\n", to, text, answer)
	return agrees
}

// agent uses tools. It has the token that it was given and no other.
type agent struct {
	url  string
	http *http.Client
}

func newAgent(tools string, token macaroon.Wallet, discharger client.Discharger) (*agent, error) {
	transport, err := client.New([]string{tools}, client.Static(token), client.Options{Discharger: discharger})
	if err != nil {
		return nil, err
	}
	return &agent{tools, &http.Client{Transport: transport}}, nil
}

// thief uses tools with what it has found, one macaroon behind the other.
func thief(tools string, found ...[]byte) *agent {
	token := base64.RawURLEncoding.EncodeToString(slices.Concat(found...))
	return &agent{tools, &http.Client{Transport: bearer(token)}}
}

// bearer sends requests with a token as it is.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// do uses a tool, prints what came of it, and gives the answer.
func (a *agent) do(method, path, body string) string {
	r := must(http.NewRequest(method, a.url+path, strings.NewReader(body)))
	response, err := a.http.Do(r)
	var refusal *dischargehttp.Refusal
	if errors.As(err, &refusal) {
		fmt.Printf("  %s %s: not sent, the consent service says: %s\n", method, path, refusal.Message)
		return ""
	}
	defer must(response, err).Body.Close()
	text := string(must(io.ReadAll(response.Body)))
	if response.StatusCode != http.StatusOK {
		fmt.Printf("  %s %s: %s\n", method, path, response.Status)
		return ""
	}
	fmt.Printf("  %s %s: %s, %s\n", method, path, response.Status, text)
	return text
}

func listen() net.Listener { return must(net.Listen("tcp", "127.0.0.1:0")) }

func urlOf(l net.Listener) string { return "http://" + l.Addr().String() }

func serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(l))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
