package proxy

import (
	"net/http"
	"strconv"
	"sync"
)

// errorPage is the page for an answer of the proxy's own.
func (x *exchange) errorPage(status int) string {
	if s := x.service; s != nil {
		o := &s.spec.Options
		if status == 503 && o.Maintenance && o.MaintenancePage != "" {
			return o.MaintenancePage
		}
		if o.ErrorPage != "" && (status == 502 || status == 503 && !o.Maintenance || status == 504) {
			return o.ErrorPage
		}
		if status == 503 && o.Maintenance {
			return maintenancePage
		}
		if status == 404 && o.Undeployed {
			return undeployedPage
		}
	}
	return defaultPage(status)
}

// What a visitor is told. The operator reads the reason in the access log.
var advice = map[int]string{
	400: "The request could not be understood.",
	401: "You need a name and a password to see this.",
	403: "This address may not be visited from where you are.",
	404: "No app is served at this address.",
	413: "What you sent is larger than the app accepts.",
	429: "Too many wrong passwords came from your address. Please try again in a moment.",
	502: "The app did not answer. Please try again in a moment.",
	503: "The app is not available right now. Please try again in a moment.",
	504: "The app took too long to answer. Please try again in a moment.",
}

var maintenancePage = layout("Maintenance", "This app is being worked on and will be back soon.")

var undeployedPage = layout("Nothing is deployed here yet", "This address belongs to an app that is waiting for its first deploy.")

var pages sync.Map // status -> string

func defaultPage(status int) string {
	if p, ok := pages.Load(status); ok {
		return p.(string)
	}
	p := layout(strconv.Itoa(status)+" "+reasonOf(status), advice[status])
	pages.Store(status, p)
	return p
}

func layout(title, line string) string {
	return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
		`<title>` + title + `</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:32em;margin:20vh auto;padding:0 1em;color:#222}` +
		`h1{font-size:1.4em}</style><h1>` + title + `</h1><p>` + line + `</p></html>` + "\n"
}

func reasonOf(status int) string {
	return or(http.StatusText(status), "Status")
}
