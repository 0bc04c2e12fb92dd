-- name: record_event
select exchange.record_event($1, $2, $3, $4, $5, $6, $7, $8);
