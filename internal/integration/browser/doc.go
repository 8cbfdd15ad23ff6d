// Package browser holds tests with a real browser, headless Chromium as .ci/peers installs it: they log in where
// examples/identity asks for it, as a person would. It has no code of its own.
//
// A test is skipped, and says why, if there is no Chromium. With AMARETTI_TEST_REQUIRE_SERVERS=1 in
// the environment, as in continuous integration, it fails instead.
// AMARETTI_TEST_SCREENSHOTS names a folder that pictures of the pages are written to.
package browser
