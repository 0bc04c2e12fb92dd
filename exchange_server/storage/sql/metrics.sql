-- name: open_deliveries
-- What awaits its recipient has a row of attention, so that no count goes through the history.
select d.state, count(*) as count
  from exchange.attention a
  join exchange.deliveries d on d.envelope_id = a.envelope_id and d.recipient = a.recipient
 where a.side = 'R' and d.state in ('PENDING', 'DELIVERED')
 group by d.state;
