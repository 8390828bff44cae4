-- What came of sending one. ARGV: tenant, id, which run of the job it told of, delivered | retry | given_up, what was
--   said, ms until it is sent again
local job, outcome = find(ARGV[1], ARGV[2]), ARGV[4]
-- The job was retried, or deleted, meanwhile: there is nothing to tell of that run any more.
if not job or not FINAL[job.status] then return 0 end
if 1 + (redis.call('HGET', job.key, 'retries') or 0) ~= tonumber(ARGV[3]) then return 0 end
if outcome == 'retry' then
  redis.call('ZADD', WEBHOOKS, now + tonumber(ARGV[6]), job.member)
else
  redis.call('ZREM', WEBHOOKS, job.member)
end
local attempt = tonumber(redis.call('HGET', job.key, 'webhook_attempts'))
emit(job, 'webhook', outcome, {attempt = attempt, note = ARGV[5]})
return 1
