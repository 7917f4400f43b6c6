"""Says what the artefacts of a release are made of: a bill of materials for each, and the licences of all.

    inventory.py OUT ARTEFACT=PACKAGE@TARGET...

Writes OUT/sbom/<artefact>.cdx.json (CycloneDX 1.6, checked against its schema) and OUT/THIRD-PARTY-LICENSES.txt. What is in an
artefact is what Cargo links into it, for its target and with its features: `cargo tree` without build scripts, macros and tests. Those
of one target are taken for built together.
The same sources give the same bytes; the time is SOURCE_DATE_EPOCH.

Ends with an error if a crate has a licence that the project does not take, or a text of it can't be found.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from datetime import datetime, timezone
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import AND, get_spdx_licensing
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parents[2]

# None of them asks more of who ships a module than to pass its text on.
ACCEPTED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT",
    "Unicode-3.0", "Unlicense", "Zlib",
}

# `cargo tree` prints these as text, since it has no other form.
LINE = re.compile(r"(?P<depth>\d+)(?P<name>\S+) v(?P<version>\S+)(?: \((?P<source>.*?)\))?\|(?P<licence>.*?)(?: \(\*\))?")


def main(out, *artefacts):
    out = Path(out)
    checksums = locked_checksums()
    (out / "sbom").mkdir(parents=True, exist_ok=True)
    built = {}
    for artefact in artefacts:
        file, package, target = re.fullmatch(r"(.+)=(.+)@(.+)", artefact).groups()
        built.setdefault(target, []).append((file, package))
    crates = {}
    for target, files in built.items():
        licences, needs = linked([package for _, package in files], target)
        crates |= licences
        for file, package in files:
            bill = out / "sbom" / (Path(file).name + ".cdx.json")
            write_bill(bill, out / file, reached(package, needs), licences, needs, checksums, target)
    foreign = {crate: licence for crate, licence in crates.items() if crate in checksums}
    refuse_licences(foreign)
    (out / "THIRD-PARTY-LICENSES.txt").write_text(licence_texts(foreign, packages()))


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def locked_checksums():
    """The SHA-256 of each crate of the registry; those of the workspace have none."""
    packages = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return {(package["name"], package["version"]): package["checksum"] for package in packages if "checksum" in package}


def packages():
    """What Cargo knows of each: where its sources are, and the repository that they come from."""
    packages = json.loads(cargo("metadata", "--format-version=1", "--locked"))["packages"]
    return {(package["name"], package["version"]): package for package in packages}


def linked(packages, target):
    """What is linked into packages that are built together: of each crate its licence and the crates that it needs.

    Together, because a crate has the features that any of them asks for.
    """
    chosen = [word for package in packages for word in ("-p", package)]
    lines = cargo("tree", "--locked", *chosen, "--target", target, "-e", "normal,no-proc-macro",
                  "--prefix", "depth", "--format", "{p}|{l}").splitlines()
    licences, needs, path = {}, {}, []
    for line in filter(None, lines):
        match = LINE.fullmatch(line)
        if not match:
            raise SystemExit(f"error: cargo tree printed what is not understood: {line}")
        crate = (match["name"], match["version"])
        # A list of licences as it was written before SPDX.
        licences[crate] = match["licence"].replace("/", " OR ")
        needs.setdefault(crate, {})
        del path[int(match["depth"]):]
        if path:
            needs[path[-1]][crate] = None
        path.append(crate)
    return licences, needs


def reached(package, needs):
    """A package and all that it needs, the package first."""
    found = dict.fromkeys(crate for crate in needs if crate[0] == package)
    waiting = list(found)
    while waiting:
        new = [crate for crate in needs[waiting.pop()] if crate not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return list(found)


def write_bill(path, artefact, linked, licences, needs, checksums, target):
    digest = hashlib.sha256(artefact.read_bytes()).hexdigest()
    components = {}
    for crate in linked:
        name, version = crate
        first = not components
        sha256 = digest if first else checksums.get(crate)
        components[crate] = Component(
            type=ComponentType.APPLICATION if first else ComponentType.LIBRARY,
            name=artefact.name if first else name,
            version=version,
            licenses=[LicenseExpression(licences[crate])],
            # Crates of this workspace are in no registry.
            purl=PackageURL("cargo", None, name, version) if crate in checksums else None,
            bom_ref=f"{name}@{version}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else [],
        )
    rust = subprocess.run(["rustc", "--version"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()[1]
    std = Component(
        type=ComponentType.LIBRARY, name="rust-std", version=rust, bom_ref=f"rust-std@{rust}",
        description=f"The standard library of Rust for {target}, with the C library that comes with it",
        licenses=[LicenseExpression("MIT OR Apache-2.0")],
    )
    bill = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, digest), components=[*list(components.values())[1:], std])
    bill.metadata.component = next(iter(components.values()))
    bill.metadata.timestamp = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc)
    for crate, component in components.items():
        bill.register_dependency(component, [std, *(components[other] for other in needs[crate])])
    text = JsonV1Dot6(bill).output_as_string(indent=2)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"error: {path}: {error}")
    path.write_text(text + "\n")


def refuse_licences(crates):
    licensing = get_spdx_licensing()

    def accepted(expression):
        if expression.args and not str(expression) in ACCEPTED:
            every = all if isinstance(expression, AND) else any
            return every(accepted(part) for part in expression.args)
        return str(expression) in ACCEPTED

    for (name, version), licence in sorted(crates.items()):
        if not licence or not accepted(licensing.parse(licence, validate=True)):
            raise SystemExit(f"error: {name} {version} has the licence {licence!r}: {', '.join(sorted(ACCEPTED))} are accepted")


def licence_files(package):
    files = sorted(Path(package["manifest_path"]).parent.iterdir())
    return [file for file in files if file.is_file() and re.match(r"(?i)(un)?licen[sc]e|copying|notice", file.name)]


def licence_texts(crates, packages):
    """Each text once, with the crates that come under it."""
    texts = {}
    for crate in sorted(crates):
        package = packages[crate]
        files = licence_files(package)
        if not files:
            # Of several crates in one repository some are published without its text.
            others = (packages[other] for other in sorted(crates) if packages[other]["repository"] == package["repository"])
            files = next(filter(None, map(licence_files, others)), [])
        if not files and "Apache-2.0" in crates[crate]:
            files = [ROOT / "LICENSE"]
        if not files:
            raise SystemExit(f"error: {crate[0]} {crate[1]} ({crates[crate]}) has no file with its licence")
        for file in files:
            texts.setdefault(file.read_text(errors="replace").strip(), []).append(crate)
    parts = ["What Meshgate's modules and command line are made of besides its own code, and under which licences it may be passed\n"
             "on. The standard library of Rust is under licences of its own: rust-standard-library.html."]
    parts += [f"{name} {version}: {licence}" for (name, version), licence in sorted(crates.items())]
    text = "\n".join(parts) + "\n"
    for licence, users in sorted(texts.items(), key=lambda item: item[1]):
        # A crate may have the same text twice.
        names = ", ".join(f"{name} {version}" for name, version in dict.fromkeys(users))
        text += f"\n{'=' * 100}\n{names}\n{'=' * 100}\n\n{licence}\n"
    # It comes with Rust's target, and Cargo does not know of it.
    return text + f"\n{'=' * 100}\n{(Path(__file__).parent / 'c-library.txt').read_text()}"


if __name__ == "__main__":
    main(*sys.argv[1:])
