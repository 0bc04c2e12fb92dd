-- name: lease_quota
select resource, granted, retry_s
  from exchange.lease_quota($1::text, $2::uuid, $3::interval, $4::text[], $5::uuid[], $6::bigint[],
                            $7::bigint[], $8::uuid[], $9::bigint[]);

-- name: return_quota
select exchange.return_quota($1::uuid);

-- name: quota_used
select resource, sum(amount)::bigint as used from exchange.quota_grants
 where unit_id = $1::text and counts_until > clock_timestamp() group by resource
union all
select resource, sum(held)::bigint from exchange.quota_levels
 where unit_id = $1::text and held_until > clock_timestamp() group by resource;
