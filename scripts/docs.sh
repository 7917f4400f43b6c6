#!/bin/sh
# Builds the site from the Markdown pages of the repository: target/site/index.html. A link that leads nowhere fails.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

target=${CARGO_TARGET_DIR:-target}
site=$target/site

python_packages docs/site/requirements.txt
# From nothing, so that no page stays that has gone; warnings are mistakes, and all of them are shown.
rm -rf "$site"
PYTHONPATH=$python_packages python3 -m sphinx -q -W --keep-going -E -d "$target/site-pages" -b html -c docs/site . "$site" \
    || die 'the site was not built: the lines above name the pages and what is wrong'
say "built $site/index.html; $(grep -c . "$site/external-links.txt") links to other sites were not tried: external-links.txt lists them"
