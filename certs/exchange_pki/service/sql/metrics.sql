-- name: certificate_counts
-- $1 now, $2 the end of what counts as soon. A successor is another certificate for the same that
-- ends later.
select profile, count(*) as valid, count(*) filter (where last_not_after <= $2) as ending
  from (select profile, identity, max(not_after) as last_not_after from exchange.certificates
         where revoked_at is null and not_before <= $1 and not_after > $1
         group by profile, identity) as holders
 group by profile;

-- name: waiting_counts
select (select count(*) from exchange.seal_requests where standing = 'PENDING') as seal_requests,
       (select count(*) from exchange.tokens
         where used_at is null and withdrawn_at is null and expires_at > $1) as tokens;

-- name: crl_ends
select issuer, max(next_update) as next_update from exchange.crls where this_update <= $1 group by issuer;
