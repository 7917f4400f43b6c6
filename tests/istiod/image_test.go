package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	httpwasm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	extensions "github.com/envoyproxy/go-control-plane/envoy/extensions/wasm/v3"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"istio.io/istio/pkg/wasm"
)

// The layouts that `meshgate image` made of plugin.wasm, which is beside them.
const folder = "MESHGATE_IMAGES"

// What Istio's proxies pull from a registry is the module, to the byte, in each form of image.
func TestIstioPullsTheImages(t *testing.T) {
	images, module := made(t)
	host := serve(t)
	for _, form := range []string{"oci", "docker", "artifact"} {
		t.Run(form, func(t *testing.T) {
			image := only(t, filepath.Join(images, form))
			// An artifact is no container: its layers are no archives.
			if form != "artifact" {
				if err := validate.Image(image); err != nil {
					t.Fatal(err)
				}
			}
			reference := host + "/meshgate/dlp-" + form + ":1.0"
			push(t, reference, image)

			fetcher := wasm.NewImageFetcher(context.Background(), wasm.ImageFetcherOption{})
			fetch, digest, err := fetcher.PrepareFetch(reference)
			if err != nil {
				t.Fatal(err)
			}
			pulled, err := fetch()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(pulled, module) {
				t.Errorf("pulled %d bytes, other than the %d of the module", len(pulled), len(module))
			}
			pushed, err := image.Digest()
			if err != nil || digest != pushed.Hex {
				t.Errorf("Istio has the digest %s, the layout %s (%v)", digest, pushed.Hex, err)
			}
		})
	}
}

// The agent beside the proxy puts a file in the place of the image. An image that it can't have, or that has another digest than the
// resource says, becomes a filter that denies all requests; with FAIL_OPEN, one that allows them.
func TestProxiesLoadTheImages(t *testing.T) {
	images, module := made(t)
	host := serve(t)
	image := only(t, filepath.Join(images, "oci"))
	push(t, host+"/meshgate/dlp:1.0", image)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	cache := wasm.NewLocalFileCache(t.TempDir(), wasm.Options{})
	t.Cleanup(cache.Cleanup)
	load := func(url, sha256 string, policy extensions.FailurePolicy) *core.TypedExtensionConfig {
		resources := []*anypb.Any{extension(t, "oci://"+host+url, sha256, policy)}
		if err := wasm.MaybeConvertWasmExtensionConfig(resources, cache); err != nil {
			t.Fatal(err)
		}
		loaded := &core.TypedExtensionConfig{}
		unpack(t, resources[0], loaded)
		return loaded
	}

	closed, open := extensions.FailurePolicy_FAIL_CLOSED, extensions.FailurePolicy_FAIL_OPEN
	byDigest := "/meshgate/dlp@" + digest.String()
	for _, loaded := range []*core.TypedExtensionConfig{
		load("/meshgate/dlp:1.0", "", closed), load("/meshgate/dlp:1.0", digest.Hex, closed), load(byDigest, "", closed),
	} {
		filter := &httpwasm.Wasm{}
		unpack(t, loaded.TypedConfig, filter)
		file := filter.GetConfig().GetVmConfig().GetCode().GetLocal().GetFilename()
		if bytes, err := os.ReadFile(file); err != nil || string(bytes) != string(module) {
			t.Errorf("%q is not the module (%v)", file, err)
		}
	}

	for _, test := range []struct {
		fallback string
		loaded   *core.TypedExtensionConfig
	}{
		{"wasm-default-deny", load("/meshgate/none:1.0", "", closed)},
		{"wasm-default-deny", load("/meshgate/none:1.0", "", extensions.FailurePolicy_FAIL_RELOAD)},
		{"wasm-default-deny", load("/meshgate/dlp:1.0", strings.Repeat("0", 64), closed)},
		{"wasm-default-allow", load("/meshgate/none:1.0", "", open)},
	} {
		// Rules for role-based access, known by what their statistics are called.
		filter := &rbac.RBAC{}
		unpack(t, test.loaded.TypedConfig, filter)
		if filter.RulesStatPrefix != test.fallback {
			t.Errorf("%s, not %s", filter, test.fallback)
		}
	}
}

func made(t *testing.T) (images string, module []byte) {
	t.Helper()
	images = os.Getenv(folder)
	if images == "" {
		t.Fatalf("%s is not set: `make test-istio` makes the images and sets it", folder)
	}
	module, err := os.ReadFile(filepath.Join(images, "plugin.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return images, module
}

// Starts a registry, and tells its host and port.
func serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New())
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// What istiod sends for a resource with this image.
func extension(t *testing.T, url, sha256 string, policy extensions.FailurePolicy) *anypb.Any {
	t.Helper()
	remote := &core.AsyncDataSource{Specifier: &core.AsyncDataSource_Remote{Remote: &core.RemoteDataSource{
		HttpUri: &core.HttpUri{Uri: url, HttpUpstreamType: &core.HttpUri_Cluster{Cluster: "_"}},
		Sha256:  sha256,
	}}}
	vm := &extensions.PluginConfig_VmConfig{VmConfig: &extensions.VmConfig{Code: remote}}
	filter := &httpwasm.Wasm{Config: &extensions.PluginConfig{Name: "dlp", Vm: vm, FailurePolicy: policy}}
	return pack(t, &core.TypedExtensionConfig{Name: "dlp", TypedConfig: pack(t, filter)})
}

func pack(t *testing.T, message proto.Message) *anypb.Any {
	t.Helper()
	packed, err := anypb.New(message)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func unpack(t *testing.T, packed *anypb.Any, message proto.Message) {
	t.Helper()
	if err := packed.UnmarshalTo(message); err != nil {
		t.Fatal(err)
	}
}

func only(t *testing.T, directory string) v1.Image {
	t.Helper()
	index, err := layout.ImageIndexFromPath(directory)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("%d images in %s", len(manifest.Manifests), directory)
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func push(t *testing.T, reference string, image v1.Image) {
	t.Helper()
	to, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(to, image); err != nil {
		t.Fatal(err)
	}
}
