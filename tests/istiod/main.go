// Serves a folder of Istio's resources to proxies, over xDS, as istiod does: what reads the resources, makes configurations of them
// and pushes these is istiod's own code, set up by its own test server, which needs no Kubernetes. The folder is watched, so a file
// that changes there is what `kubectl apply` is elsewhere. What Istio's webhook would refuse is refused.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/mesh"
)

const glance = 50 * time.Millisecond

func main() {
	folder := flag.String("config", "", "the folder with the resources: its *.yaml files")
	ready := flag.String("address-path", "", "the file that gets the address, once it serves")
	flag.Parse()

	// Filters that only Istio's own build of Envoy has.
	features.MetadataExchange = false
	features.ALPNFilter = false
	meshConfig := mesh.DefaultMeshConfig()
	// There are no certificates: clusters would wait for them without end.
	meshConfig.EnableAutoMtls = wrapperspb.Bool(false)

	text, resources, err := read(*folder)
	if err != nil {
		log.Fatal(err)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := xds.NewFakeDiscoveryServer(&process{}, xds.FakeOptions{
		Configs:         resources,
		MeshConfig:      meshConfig,
		ListenerBuilder: func() (net.Listener, error) { return socket, nil },
	})
	if err := announce(*ready, socket.Addr().String()); err != nil {
		log.Fatal(err)
	}
	log.Printf("serving %d resources on %s", len(resources), socket.Addr())
	watch(*folder, text, resources, server.Store())
}

// Applies what changes in the folder, for ever.
func watch(folder, text string, resources []config.Config, store model.ConfigStore) {
	applied := byName(resources)
	for ; ; time.Sleep(glance) {
		now, resources, err := read(folder)
		if now == text {
			continue
		}
		text = now
		if err != nil {
			log.Printf("refused: %v", err)
			continue
		}
		wanted := byName(resources)
		if err := apply(store, applied, wanted); err != nil {
			log.Fatal(err)
		}
		applied = wanted
		log.Printf("applied %d resources", len(wanted))
	}
}

func apply(store model.ConfigStore, applied, wanted map[string]config.Config) error {
	var failed []error
	for name, resource := range wanted {
		old, known := applied[name]
		if !known {
			_, err := store.Create(resource)
			failed = append(failed, err)
			continue
		}
		resource.CreationTimestamp = old.CreationTimestamp
		wanted[name] = resource
		if !resource.Equals(&old) {
			_, err := store.Update(resource)
			failed = append(failed, err)
		}
	}
	for name, resource := range applied {
		if _, known := wanted[name]; !known {
			failed = append(failed, store.Delete(resource.GroupVersionKind, resource.Name, resource.Namespace, nil))
		}
	}
	return errors.Join(failed...)
}

// Reads the folder: its text, and the resources in it. They have all been made now, or with their first version.
func read(folder string) (string, []config.Config, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return "", nil, err
	}
	var documents []string
	for _, file := range files {
		document, err := os.ReadFile(file)
		if err != nil {
			return "", nil, err
		}
		documents = append(documents, string(document))
	}
	text := strings.Join(documents, "\n---\n")
	resources, others, err := crd.ParseInputs(text)
	if err != nil {
		return text, nil, err
	}
	if len(others) > 0 {
		return text, nil, fmt.Errorf("not a resource of Istio's: %s %s", others[0].Kind, others[0].Name)
	}
	now := time.Now()
	for index := range resources {
		resources[index].CreationTimestamp = now
		if resources[index].Namespace == "" {
			resources[index].Namespace = "default"
		}
	}
	return text, resources, nil
}

func byName(resources []config.Config) map[string]config.Config {
	names := make(map[string]config.Config, len(resources))
	for _, resource := range resources {
		names[resource.Key()] = resource
	}
	return names
}

// Writes the address to its file, all of it at once.
func announce(file, address string) error {
	if err := os.WriteFile(file+".part", []byte(address), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}

// What Istio's test server takes for the test that it runs in: here it is a process, and ends as one.
type process struct{}

func (*process) Fail()                         { os.Exit(1) }
func (*process) FailNow()                      { os.Exit(1) }
func (*process) Fatal(what ...any)             { log.Fatal(what...) }
func (*process) Fatalf(form string, of ...any) { log.Fatalf(form, of...) }
func (*process) Log(what ...any)               { log.Print(what...) }
func (*process) Logf(form string, of ...any)   { log.Printf(form, of...) }
func (*process) TempDir() string               { return os.TempDir() }
func (*process) Helper()                       {}
func (*process) Cleanup(func())                {}
func (*process) Skip(...any)                   {}
