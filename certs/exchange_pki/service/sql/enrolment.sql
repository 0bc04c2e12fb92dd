-- name: issue_token
select outcome, detail
  from exchange.issue_token($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: withdraw_token
select exchange.withdraw_token($1, $2, $3, $4, $5, $6);

-- name: list_tokens
select token_id::text, coalesce(unit_id, '') as unit, coalesce(system, '') as system,
       coalesce(seal, '') as seal, coalesce(staff, '') as staff,
       standing, issued_by, issued_at, expires_at, used_at
  from exchange.tokens
 cross join lateral (select case when withdrawn_at is not null then 'WITHDRAWN'
                                 when used_at is not null then 'USED'
                                 when expires_at <= $3 then 'EXPIRED'
                                 else 'OPEN' end) as s (standing)
 where ($1::text is null or unit_id = $1) and ($2::text is null or standing = $2)
   and ($4::uuid is null or token_id < $4)
 order by token_id desc limit $5;

-- name: find_token
-- By its hash: what it is for, and what came of it.
select t.token_id::text, coalesce(t.unit_id, '') as unit, coalesce(t.system, '') as system,
       coalesce(t.seal, '') as seal, coalesce(t.staff, '') as staff, coalesce(s.role, '') as role,
       case when t.withdrawn_at is not null then 'WITHDRAWN'
            when t.used_at is not null then 'USED'
            when t.expires_at <= clock_timestamp() then 'EXPIRED'
            else 'OPEN' end as standing,
       t.system_key, c.der as certificate, r.request_id::text
  from exchange.tokens t
  left join exchange.staff s on s.name = t.staff
  left join exchange.certificates c on c.fingerprint = t.certificate
  left join exchange.seal_requests r on r.token_id = t.token_id
 where t.token_sha256 = $1;

-- name: claim_token
select outcome, detail
  from exchange.claim_token($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: note_system_certificate
select exchange.note_system_certificate($1, $2);

-- name: list_seal_requests
select * from exchange.seal_request_standings
 where ($1::text is null or unit = $1) and ($2::text is null or standing = $2)
   and ($3::uuid is null or request_id < $3)
 order by request_id desc limit $4;

-- name: find_seal_request
select * from exchange.seal_request_standings where request_id = $1;

-- name: standing_of_seal_request
select outcome, detail from exchange.standing_of_seal_request($1);

-- name: decide_seal
select outcome, detail from exchange.decide_seal($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: note_seal_certificate
select exchange.note_seal_certificate($1, $2);
