-- ARGV: what `start_job` takes. Returns what it returns.
return start_job(ARGV)
