-- What set-up got from a provider, sealed with keys from KEDGE_SECRET_KEY.
CREATE TABLE credentials (
  provider TEXT PRIMARY KEY,
  sealed {blob} NOT NULL,
  kept_at BIGINT NOT NULL
);
-- What tells set-up how far it is.
CREATE INDEX deliveries_setup ON deliveries (received_at)
  WHERE event IN ('ping', 'installation', 'installation_repositories');
