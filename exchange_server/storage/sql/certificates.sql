-- Certificates as their holders see them, with the events that tell of them. $1 is a unit (of staff
-- and servers: ''), $2 an identity.

-- name: own_certificates
-- The page before ended with the certificate $3 ('' for the first page), which must be one of them.
select c.fingerprint, c.serial, c.identity, c.profile, coalesce(c.role, '') as role, c.not_before,
       c.not_after, c.issued_at, c.revoked_at, coalesce(c.revocation_reason, '') as revocation_reason,
       coalesce(i.event, '') as issued_event, coalesce(r.event, '') as revoked_event
  from exchange.certificates c
  left join exchange.events i on i.event_no = c.issued_event and i.at = c.issued_event_at
  left join exchange.events r on r.event_no = c.revoked_event and r.at = c.revoked_event_at
 where (c.unit_id = nullif($1, '') or c.identity = $2)
   and ($3::bytea = ''::bytea
        or (c.issued_at, c.fingerprint) < (
            select o.issued_at, o.fingerprint from exchange.certificates o
             where o.fingerprint = $3 and (o.unit_id = nullif($1, '') or o.identity = $2)))
 order by c.issued_at desc, c.fingerprint desc limit $4;

-- name: own_certificates_of
-- Those with the fingerprints $3.
select c.fingerprint, c.serial, c.identity, c.profile, coalesce(c.role, '') as role, c.not_before,
       c.not_after, c.issued_at, c.revoked_at, coalesce(c.revocation_reason, '') as revocation_reason,
       coalesce(i.event, '') as issued_event, coalesce(r.event, '') as revoked_event
  from exchange.certificates c
  left join exchange.events i on i.event_no = c.issued_event and i.at = c.issued_event_at
  left join exchange.events r on r.event_no = c.revoked_event and r.at = c.revoked_event_at
 where (c.unit_id = nullif($1, '') or c.identity = $2) and c.fingerprint = any ($3)
 order by c.issued_at, c.fingerprint;
