# Springhead as a container image: the program, the C library it is linked with, certificates, and no shell. It needs nothing but
# this directory:
#
#   docker build -t springhead .
#   docker run --read-only -v springhead:/data -p 8080:8080 --stop-timeout 40 springhead
#
# The first start prints the API keys and what to paste where. Settings come as SPRINGHEAD_... variables, or as a file that is
# mounted and named by SPRINGHEAD_CONFIG. 'docker run --rm springhead config default' prints one to begin with.
#
# For another architecture, cross-compiled: docker build --platform linux/arm64 -t springhead .
# With a shell and Debian's tools, to look around in: docker build --target debug -t springhead:debug .

# The release in rust-toolchain.toml. That file itself is kept out: it names components that this image may lack and a patch
# release it may not have, and either would make rustup download a toolchain in the middle of the build.
FROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS build
WORKDIR /build
# For which machine: the building one's, unless --platform says otherwise. The arm64 program is to run on kernels with pages of 4, 16
# and 64 KiB; its allocator has the page size compiled in, and aborts on a larger one.
ARG TARGETARCH
# Of the base image's own release, which is what pins the versions.
# hadolint ignore=DL3008
RUN machine=$(dpkg --print-architecture) \
    && echo 'export OBJCOPY=objcopy' > /environment \
    && case "${TARGETARCH:=$machine}" in \
         amd64) target=x86_64-unknown-linux-gnu tools=x86-64-linux-gnu prefix=x86_64-linux-gnu \
           variable=x86_64_unknown_linux_gnu linker=X86_64_UNKNOWN_LINUX_GNU ;; \
         arm64) target=aarch64-unknown-linux-gnu tools=aarch64-linux-gnu prefix=aarch64-linux-gnu \
           variable=aarch64_unknown_linux_gnu linker=AARCH64_UNKNOWN_LINUX_GNU; \
           echo 'export JEMALLOC_SYS_WITH_LG_PAGE=16' >> /environment ;; \
         *) echo "no recipe for $TARGETARCH: amd64 or arm64" >&2; exit 1 ;; \
       esac \
    && echo "export CARGO_BUILD_TARGET=$target" >> /environment \
    && if [ "$TARGETARCH" != "$machine" ]; then \
         apt-get update -qq \
         && apt-get install -y -qq --no-install-recommends "gcc-$tools" "libc6-dev-$TARGETARCH-cross" \
         && rm -rf /var/lib/apt/lists/* \
         && rustup target add "$target" \
         && echo "export CC_$variable=$prefix-gcc CARGO_TARGET_${linker}_LINKER=$prefix-gcc OBJCOPY=$prefix-objcopy" >> /environment; \
       fi

# The dependencies, in a layer that lasts until the manifest or the lock file changes. Cargo builds them for a program that does
# nothing. That program's own traces are removed in the same step: COPY keeps the sources' times, and where those are older than
# this layer, cargo would take the empty program for the finished one.
COPY Cargo.toml Cargo.lock build.rs ./
COPY stand-ins stand-ins
RUN . /environment \
    && mkdir src \
    && echo '//! Empty.' > src/lib.rs \
    && printf '//! Empty.\nfn main() {}\n' > src/main.rs \
    && cargo build --profile dist --locked \
    && cargo clean --profile dist --package springhead \
    && rm -r src

# The program. The settings file is compiled in: 'springhead config default' prints it.
COPY config/springhead.toml config/
COPY src src
RUN . /environment && cargo build --profile dist --locked

# Debug information goes to a file of its own: it is larger than the program. The crates in it are listed in a section where scanners look,
# and in a file. Then the program as shipped has to run, where it can, know its version, and accept the settings file it comes with.
WORKDIR /out
COPY release/notices.py /build/release/
RUN . /environment \
    && python3 /build/release/notices.py --sbom springhead.cdx.json --audit dep-v0 \
    && program=/build/target/$CARGO_BUILD_TARGET/dist/springhead \
    && "$OBJCOPY" --only-keep-debug --compress-debug-sections "$program" springhead.debug \
    && "$OBJCOPY" --strip-all --add-section .dep-v0=dep-v0 --set-section-flags .dep-v0=noload,readonly --add-gnu-debuglink=springhead.debug "$program" springhead \
    && if [ "${CARGO_BUILD_TARGET%%-*}" = "$(uname -m)" ]; then \
         ./springhead --version && ./springhead config check /build/config/springhead.toml; \
       fi

# Not part of the image. Line numbers for a profile or a core dump from the field, matched to the program by its build ID:
#
#   docker build --target debug-info --output . .
FROM scratch AS debug-info
COPY --from=build /out/springhead.debug /

# What the image consists of beside the program: the two packages of Debian's that it is linked with (libc6, libgcc-s1), unpacked;
# whom it believes when it asks others over TLS (a collector of traces, a bucket, whatever 'springhead doctor' looks at); where names
# are looked up; and who may write to /data. Scanners find the packages' versions in status.d.
# The same Debian as the build's, so that the program finds the C library it was linked with.
FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS files
WORKDIR /packages
ARG TARGETARCH
# hadolint ignore=DL3008
RUN TARGETARCH=${TARGETARCH:-$(dpkg --print-architecture)} \
    && dpkg --add-architecture "$TARGETARCH" \
    && apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends ca-certificates \
    && apt-get download -qq "libc6:$TARGETARCH" "libgcc-s1:$TARGETARCH" \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /image/etc/ssl/certs /image/var/lib/dpkg/status.d \
    && for package in *.deb; do \
         dpkg-deb --extract "$package" /image \
         && dpkg-deb --field "$package" > "/image/var/lib/dpkg/status.d/$(dpkg-deb --field "$package" Package)" || exit 1; \
       done \
    && rm -rf /image/usr/share/lintian /image/usr/share/doc/*/changelog* /image/usr/lib/*/gconv /image/lib/*/gconv \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
    && install --directory --owner=65532 --group=65532 --mode=0700 /owned/data

# To look around in: Debian with its shell, and the same program, user and settings.
FROM debian:bookworm-slim AS debug
COPY --from=files /image/etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=files --chown=65532:65532 /owned /
COPY --from=build /out/springhead /usr/local/bin/springhead
COPY --from=build /out/springhead.cdx.json /usr/share/doc/springhead/
ENV SPRINGHEAD_DATA_DIR=/data \
    SPRINGHEAD_ADMIN_LISTEN=0.0.0.0:8081
VOLUME /data
WORKDIR /data
USER 65532:65532
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=8s --start-period=5s --retries=3 CMD ["springhead", "health"]
ENTRYPOINT ["springhead"]
CMD ["serve"]

FROM scratch
COPY --from=files /image /
COPY --from=files --chown=65532:65532 /owned /
COPY --from=build /out/springhead /usr/local/bin/springhead
COPY --from=build /out/springhead.cdx.json /usr/share/doc/springhead/

ARG VERSION=""
ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="Springhead" \
      org.opencontainers.image.description="Self-hosted HTTP origin for live video: encoders push segments and playlists, CDNs pull them." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="scratch"

# A number without an account, so that a cluster can see that it is not root. A new volume takes over /data's owner and mode; the
# signing key lives there.
# Keys, revocations, and objects beside memory. Nothing else is written, so the root file system can be read-only. It is the
# working directory too: a relative path in a setting can only mean a place that lasts.
# The admin listener is open to other containers, so it asks for a key of role admin: the first start writes
# /data/admin_api_key.json. SPRINGHEAD_METRICS_OPEN=true lets a Prometheus on the same network read /metrics without one.
ENV PATH=/usr/local/bin \
    SPRINGHEAD_DATA_DIR=/data \
    SPRINGHEAD_ADMIN_LISTEN=0.0.0.0:8081
VOLUME /data
WORKDIR /data
USER 65532:65532

# Objects; and metrics, probes and the encoders' black box.
EXPOSE 8080 8081

# SIGTERM drains: requests in flight may end, for SPRINGHEAD_DRAIN_TIMEOUT, 30 s. Docker kills after 10 s unless told otherwise
# (--stop-timeout, stop_grace_period in Compose; terminationGracePeriodSeconds in Kubernetes, 30 s): allow a little more than
# the drain.
STOPSIGNAL SIGTERM

# The program asks itself, so no curl is needed. It looks where the settings in the environment say: change the address with
# SPRINGHEAD_LISTEN or in the settings file, not with --listen, which this command would not see. A silent server fails it
# within 6 s. Unhealthy while draining, as it should be. Only images in Docker's format carry it: with Buildah and Podman,
# build with --format docker. Kubernetes has probes of its own: GET /readyz and /livez.
HEALTHCHECK --interval=10s --timeout=8s --start-period=5s --retries=3 CMD ["springhead", "health"]

ENTRYPOINT ["springhead"]
CMD ["serve"]
