package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"

	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
)

// newClient makes an http.Client for the orders service, for one person. It gets discharges from the identity service
// and from nowhere else, and keeps each until shortly before it expires. open shows a URL to the person.
func newClient(orders, identity string, token macaroon.Macaroon, open func(context.Context, string) error) (*http.Client, error) {
	browser, err := dischargehttp.Browser(open)
	if err != nil {
		return nil, err
	}
	discharges, err := dischargehttp.NewClient([]string{identity}, dischargehttp.ClientOptions{
		Interactors: []dischargehttp.Interactor{browser},
	})
	if err != nil {
		return nil, err
	}
	wallet, err := macaroon.NewWallet(token)
	if err != nil {
		return nil, err
	}
	transport, err := client.New([]string{orders}, client.Static(wallet), client.Options{Discharger: discharges})
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: transport}, nil
}

// walk does what a person with a browser would: opens the login page, tries passwords, and allows what is asked.
func walk(user string, passwords ...string) func(context.Context, string) error {
	return func(_ context.Context, page string) error {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return err
		}
		browser := &http.Client{Jar: jar}
		at, err := url.Parse(page)
		if err != nil {
			return err
		}
		form := url.Values{"flow": {at.Query().Get("flow")}}
		show := func(what string, response *http.Response, err error) error {
			if err != nil {
				return err
			}
			defer response.Body.Close()
			_, err = io.Copy(io.Discard, response.Body)
			fmt.Printf("  %s %s: %s\n", user, what, response.Status)
			return err
		}

		response, err := browser.Get(page)
		if err := show("opens the login page", response, err); err != nil {
			return err
		}
		form.Set("user", user)
		for _, password := range passwords {
			form.Set("password", password)
			response, err := browser.PostForm(at.ResolveReference(&url.URL{Path: "/login"}).String(), form)
			if err := show("logs in", response, err); err != nil {
				return err
			}
		}
		form.Del("password")
		form.Set("answer", "allow")
		response, err = browser.PostForm(at.ResolveReference(&url.URL{Path: "/answer"}).String(), form)
		return show("allows it", response, err)
	}
}
