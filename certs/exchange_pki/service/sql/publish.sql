-- name: roots
select fingerprint from exchange.authorities where name = 'root';

-- name: known_certificates
select fingerprint, revoked_at is not null as revoked from exchange.certificates;

-- name: known_crls
select issuer, number from exchange.crls;

-- name: publish_authority
select exchange.publish_authority($1, $2, $3);

-- name: publish_certificates
select exchange.publish_certificates($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: publish_revocation
select exchange.publish_revocation($1, $2, $3, $4, $5, $6);

-- name: publish_crl
select exchange.publish_crl($1, $2, $3, $4, $5);
