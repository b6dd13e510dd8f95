# A static binary on a small image, run by nobody in particular.

FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /chatopshub ./cmd/chatopshub

# Alpine for its wget, which the health check needs, and for its certificates.
FROM alpine:3.23
RUN adduser -D -H -u 10001 chatopshub && mkdir /data /certs && chown chatopshub /data /certs
COPY --from=build /chatopshub /usr/local/bin/chatopshub
USER chatopshub
ENV APP_ENV=production DATA_DIR=/data PORT=3001
VOLUME /data
# 3001: clients; 7001: other nodes; 9091: operators.
EXPOSE 3001 7001 9091
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD wget -q -O /dev/null "http://127.0.0.1:$PORT/readyz"
ENTRYPOINT ["chatopshub"]
CMD ["serve"]
