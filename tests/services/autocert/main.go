// Gets a certificate the way official nodes do: from the folder, else from the server, which validates on a port here.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

func main() {
	folder := flag.String("folder", "", "the cache")
	host := flag.String("host", "", "the name")
	directory := flag.String("directory", "https://127.0.0.1:1/", "the ACME server")
	authority := flag.String("authority", "", "file that verifies it")
	listen := flag.String("listen", "", "where validations arrive")
	flag.Parse()

	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(*authority); err == nil {
		roots.AppendCertsFromPEM(pem)
	}
	web := &http.Client{Transport: locating{&http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}}
	manager := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(*folder),
		HostPolicy: autocert.HostWhitelist(*host),
		Client:     &acme.Client{DirectoryURL: *directory, HTTPClient: web},
	}
	if *listen != "" {
		listener, err := tls.Listen("tcp", *listen, manager.TLSConfig())
		if err != nil {
			end(err)
		}
		go http.Serve(listener, nil)
	}
	certificate, err := manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName:       *host,
		CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves:  []tls.CurveID{tls.CurveP256},
	})
	if err != nil {
		end(err)
	}
	fmt.Printf("%x\n", certificate.Leaf.SerialNumber)
}

// locating says where an order is when it is finalized: the library needs that, and Pebble leaves it out.
type locating struct{ http.RoundTripper }

func (transport locating) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := transport.RoundTripper.RoundTrip(request)
	if err == nil && strings.Contains(request.URL.Path, "/finalize-order/") {
		answer.Header.Set("Location", strings.Replace(request.URL.String(), "/finalize-order/", "/my-order/", 1))
	}
	return answer, err
}

func end(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
