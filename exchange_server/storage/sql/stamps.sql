-- name: make_stamp_batch
select exchange.make_stamp_batch($1, $2, $3);

-- name: claim_stamp_batch
select batch, lines, attempts from exchange.claim_stamp_batch($1);

-- name: rest_stamp_batch
select exchange.rest_stamp_batch($1, $2);

-- name: keep_stamp
select exchange.keep_stamp($1, $2, $3, $4, $5);

-- name: stamps_standing
-- The queue as far as it is counted; of open batches there are few, see make_stamp_batch.
select (select count(*) from (select from exchange.stamp_queue limit $1) q) as queued, o.open_batches,
       least((select min(queued_at) from exchange.stamp_queue), o.oldest_at) as waiting_since,
       (select max(stamped_at) from exchange.stamp_batches where response is not null) as stamped_at
  from (select count(*) as open_batches, min(oldest_at) as oldest_at
          from exchange.stamp_batches where response is null) o;
