-- name: all_businesses
select code, name_zh, name_en from exchange.businesses;

-- name: regions
select code, name_zh, name_en, valid_from, valid_to from exchange.regions;

-- name: held
select 'unit' as kind, unit_id as key from exchange.units where held_by <> ''
 union all
select 'system', unit_id || '/' || name from exchange.systems where held_by <> '';

-- name: administration
select second_person from exchange.administration;

-- name: write_entries
select exchange.write_entries($1, $2::jsonb, $3::jsonb, $4, $5::uuid[], $6, $7);

-- name: change_entries
select exchange.change_entries(
    $1, $2, $3::jsonb, $4::jsonb, $5::uuid, $6, $7, $8::uuid[], $9, $10);

-- name: require_second_person
select exchange.require_second_person($1, $2, $3::uuid, $4, $5);

-- name: propose
select outcome, proposal::text
  from exchange.propose($1, $2::uuid, $3, $4, $5, $6, $7::uuid, $8, $9, $10, $11);

-- name: reject_proposal
select exchange.reject_proposal($1, $2::uuid, $3, $4, $5, $6::uuid, $7, $8);

-- name: find_proposal
select proposal_id::text, changes, standing, proposed_by, proposed_at, reason,
       coalesce(decided_by, '') as decided_by, decided_at,
       coalesce(decision_reason, '') as decision_reason
  from exchange.proposals where proposal_id = $1::uuid;

-- name: list_proposals
select proposal_id::text, changes, standing, proposed_by, proposed_at, reason,
       coalesce(decided_by, '') as decided_by, decided_at,
       coalesce(decision_reason, '') as decision_reason
  from exchange.proposals
 where ($1 = '' or standing = $1) and proposal_id < $2::uuid
 order by proposal_id desc limit $3;
