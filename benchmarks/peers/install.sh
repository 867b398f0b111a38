#!/bin/sh
# Installs the programs oxcrypt is measured beside, from package registries only:
#   Debian packages   securefs, cryfs, encfs, libfuse's source (for passthrough_hp)
#   Go module proxy   gocryptfs, rclone
#   Maven Central     the official Cryptomator libraries (needs a JDK 25)
# What cannot be installed is reported and skipped; `oxbench peers` shows the result.
#
#   benchmarks/peers/install.sh [all | debian | passthrough | gocryptfs | rclone | cryptomator]...
#
# Everything but the Debian packages goes to $OXBENCH_PEERS (default ~/.local/share/oxbench/peers),
# where oxbench looks before PATH.
set -u
here=$(cd "$(dirname "$0")" && pwd)
prefix=${OXBENCH_PEERS:-$HOME/.local/share/oxbench/peers}
GOCRYPTFS_VERSION=${GOCRYPTFS_VERSION:-latest}
RCLONE_VERSION=${RCLONE_VERSION:-latest}
mkdir -p "$prefix/bin"
failed=

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
say() { printf '== %s\n' "$*"; }
skip() { printf '!! %s\n' "$*" >&2; failed="$failed $1"; }

debian() {
    say "Debian packages"
    command -v apt-get >/dev/null || { skip debian "needs apt-get; install securefs, cryfs and encfs another way"; return; }
    as_root apt-get update -qq
    for package in fuse3 libfuse3-dev libssl-dev pkg-config gocryptfs securefs cryfs encfs git rsync tar; do
        # cryfs and encfs ask questions when they are configured; none of them matters here.
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null \
            || skip "$package" "is not to be had from this system's packages"
    done
}

# libfuse's own fastest passthrough: the floor that every FUSE file system is measured against.
# The package with the library leaves this example out, so it is built from the package's source.
passthrough() {
    say "passthrough_hp"
    work=$(mktemp -d) || return
    chmod 755 "$work" # apt downloads as a user of its own
    sources="$work/deb-src.sources"
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed 's/^Types:.*/Types: deb-src/' >"$sources"
    if ! [ -s "$sources" ]; then
        sources="$work/deb-src.list"
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -n 's/^deb /deb-src /p' >"$sources"
    fi
    mkdir -p "$work/lists/partial"
    apt_source() {
        apt-get -qq -o Dir::Etc::SourceList="$sources" -o Dir::Etc::SourceParts=/dev/null \
            -o Dir::State::Lists="$work/lists" "$@"
    }
    if (cd "$work" && apt_source update && apt_source source --download-only fuse3 >/dev/null); then
        mkdir "$work/src" && tar -xf "$work"/fuse3_*.orig.tar.?z -C "$work/src" --strip-components=1
        # What the library's own build would find out. Extended attributes stay off: with them the
        # kernel asks for one before every write, and this is to be the floor.
        if g++ -std=c++17 -O2 -DFUSE_USE_VERSION=35 -DHAVE_UTIMENSAT -DHAVE_POSIX_FALLOCATE -D_FILE_OFFSET_BITS=64 -w \
            -I"$work/src/example" "$work/src/example/passthrough_hp.cc" \
            $(pkg-config --cflags --libs fuse3) -lpthread -o "$prefix/bin/passthrough_hp"; then
            pkg-config --modversion fuse3 >"$prefix/bin/passthrough_hp.version"
        else
            skip passthrough "did not compile; oxbench then uses its built-in passthrough"
        fi
    else
        skip passthrough "source package not available; oxbench then uses its built-in passthrough"
    fi
    rm -rf "$work"
}

gocryptfs() {
    say "gocryptfs ($GOCRYPTFS_VERSION)"
    command -v go >/dev/null || { skip gocryptfs "needs Go"; return; }
    tags=
    pkg-config --exists libcrypto 2>/dev/null || { tags=without_openssl; echo "   libssl-dev is missing: built with Go's own AES"; }
    if GOFLAGS=-mod=mod GOBIN="$prefix/bin" go install ${tags:+-tags $tags} \
        "github.com/rfjakob/gocryptfs/v2@$GOCRYPTFS_VERSION"; then
        version=$(go version -m "$prefix/bin/gocryptfs" | awk '$1=="mod"{print $3}')
    else
        # Some proxies serve a release and no list of releases, which `go install` asks for.
        version=v2.6.1
        source=$(go mod download -json "github.com/rfjakob/gocryptfs/v2@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
        [ -n "$source" ] && (cd "$source" && go build ${tags:+-tags $tags} -ldflags "-X main.GitVersion=$version" \
            -o "$prefix/bin/gocryptfs" .) || { skip gocryptfs "is not served or did not build; the Debian package is used if installed"; return; }
    fi
    echo "$version ${tags:-openssl}" >"$prefix/bin/gocryptfs.version"
}

rclone() {
    say "rclone ($RCLONE_VERSION)"
    command -v go >/dev/null || { skip rclone "needs Go"; return; }
    GOFLAGS=-mod=mod GOBIN="$prefix/bin" go install \
        "github.com/rclone/rclone@$RCLONE_VERSION" || { skip rclone "did not build"; return; }
    go version -m "$prefix/bin/rclone" | awk '$1=="mod"{print $3}' >"$prefix/bin/rclone.version"
}

cryptomator() {
    say "official Cryptomator libraries"
    java_home=${JAVA25_HOME:-}
    if [ -z "$java_home" ]; then
        for candidate in /usr/lib/jvm/*25* "${JAVA_HOME:-}"; do
            [ -x "$candidate/bin/javac" ] && "$candidate/bin/javac" -version 2>&1 | grep -q ' 25' && java_home=$candidate && break
        done
    fi
    [ -n "$java_home" ] || { skip cryptomator "needs a JDK 25 (set JAVA25_HOME)"; return; }
    command -v mvn >/dev/null || { skip cryptomator "needs Maven"; return; }
    build="$prefix/cryptomator"
    rm -rf "$build" && mkdir -p "$build"
    cp -r "$here/cryptomator/." "$build/"
    (cd "$build" && JAVA_HOME=$java_home mvn -q -B -DskipTests package) || { skip cryptomator "did not build"; return; }
    printf '%s\n' "$java_home" >"$build/java-home"
    sed -n 's:.*<\(cryptofs\|adapter\).version>\(.*\)</.*:\1 \2:p' "$build/pom.xml" | paste -sd' ' >"$build/version"
}

[ $# -gt 0 ] || set -- all
for what in "$@"; do
    case $what in
    all) debian; passthrough; gocryptfs; rclone; cryptomator ;;
    debian | passthrough | gocryptfs | rclone | cryptomator) "$what" ;;
    *) echo "unknown peer: $what" >&2; exit 2 ;;
    esac
done
if [ -n "$failed" ]; then
    echo "not installed:$failed" >&2
    exit 1
fi
