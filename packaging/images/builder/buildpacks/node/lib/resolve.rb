# Picks a version for a package.json "engines" range.
#
# usage: ruby resolve.rb RANGE DEFAULT_MAJOR < VERSIONS
# Prints the newest of the versions on standard input, one to a line, that RANGE
# allows; where it allows the default major, the newest of that. Exits 1 if none.

# A bare, partial or x-version means a span: "20", "20.x" and "20.1.*".
def span(text)
  parts = text.delete_prefix("v").split(".").take_while { |part| part =~ /\A\d+\z/ }
  return [] if parts.empty?
  return ["= #{parts.join(".")}"] if parts.size > 2

  ["~> #{(parts + ["0"]).join(".")}"]
end

# upto raises the part at index and drops those behind it: upto("18.2", 0) is 19.
def upto(version, index)
  parts = version.split(".").map(&:to_i)
  (parts.first(index) + [parts[index] + 1]).join(".")
end

def comparator(operator, text)
  version = text.delete_prefix("v").split(".").take_while { |part| part =~ /\A\d+\z/ }.join(".")
  return [] if version.empty?

  major_only = !version.include?(".")
  case operator
  when "" then span(text)
  when "^" then [">= #{version}", "< #{upto(version, 0)}"]
  when "~" then [">= #{version}", "< #{upto(version, major_only ? 0 : 1)}"]
  when "=" then span(text)
  when ">" then [version.count(".") < 2 ? ">= #{upto(version, version.count("."))}" : "> #{version}"]
  when "<=" then [version.count(".") < 2 ? "< #{upto(version, version.count("."))}" : "<= #{version}"]
  else ["#{operator} #{version}"]
  end
end

# Alternatives are parted by ||; each is comparators, all of which must hold.
def requirements(range)
  range.split("||").map do |alternative|
    alternative = alternative.gsub(/(\S+)\s+-\s+(\S+)/, '>=\1 <=\2')
    Gem::Requirement.new(alternative.scan(/(>=|<=|>|<|=|\^|~)?\s*([v\d*xX][\w.*-]*)/).flat_map { |op, text| comparator(op.to_s, text) })
  end
end

range = ARGV.fetch(0).strip
allowed = range.empty? ? [Gem::Requirement.default] : requirements(range)
versions = $stdin.each_line(chomp: true).grep(/\A\d+\.\d+\.\d+\z/).map { |text| Gem::Version.new(text) }
fitting = versions.select { |version| allowed.any? { |requirement| requirement.satisfied_by?(version) } }
preferred = fitting.select { |version| version.segments.first == ARGV.fetch(1).to_i }
best = (preferred.empty? ? fitting : preferred).max
abort if best.nil?
puts best
