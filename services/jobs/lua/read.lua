-- A whole job. ARGV: tenant, id, user or ''. Returns {what `show` does} or false.
local job = see(ARGV[1], ARGV[2], ARGV[3])
if not job then return false end
return {show(job)}
