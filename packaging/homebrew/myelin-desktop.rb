# UNTESTED. The desktop app; url and sha256 are filled in for each release.
cask "myelin-desktop" do
  version "0.1.0"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"

  url "https://github.com/myelin-gateway/myelin/releases/download/v#{version}/Myelin_#{version}_universal.dmg"
  name "Myelin"
  desc "One local address for every model"
  homepage "https://github.com/myelin-gateway/myelin"

  app "myelin-desktop.app"

  zap trash: ["~/Library/Application Support/myelin", "~/Library/Caches/dev.myelin.desktop"]
end
