-- name: certificate
select fingerprint, serial, identity, profile, coalesce(role, '') as role, not_before, not_after,
       issued_at, revoked_at, coalesce(revocation_reason, '') as revocation_reason
  from exchange.certificates where fingerprint = $1;

-- name: certificates
-- $1 unit, $2 profile ('' means all), $3 valid only, $4 ending before ($5: now), $6 the certificate
-- that the page before ended with, $7 how many. A successor is another certificate for the same that
-- ends later.
select c.fingerprint, c.serial, c.identity, c.profile, coalesce(c.role, '') as role, c.not_before,
       c.not_after, c.issued_at, c.revoked_at, coalesce(c.revocation_reason, '') as revocation_reason
  from exchange.certificates c
  left join exchange.certificates p on p.fingerprint = $6
 where ($1::text = '' or c.unit_id = $1)
   and ($2::text = '' or c.profile = $2)
   and (not $3::boolean or (c.revoked_at is null and c.not_after > $5::timestamptz))
   and ($4::timestamptz is null or (
        c.revoked_at is null and c.not_after > $5 and c.not_after <= $4
        and not exists (select from exchange.certificates s
                         where s.identity = c.identity and s.profile = c.profile
                           and s.revoked_at is null and s.not_after > c.not_after)))
   and ($6::bytea is null
        or c.identity > p.identity
        or (c.identity = p.identity
            and (c.issued_at < p.issued_at
                 or (c.issued_at = p.issued_at and c.fingerprint > p.fingerprint))))
 order by c.identity, c.issued_at desc, c.fingerprint
 limit $7;
