# UNTESTED. The desktop app; url and sha256 are filled in for each release.
cask "myelin-desktop" do
  arch arm: "aarch64", intel: "x64"

  version "0.1.0"
  sha256 arm:   "0000000000000000000000000000000000000000000000000000000000000000",
         intel: "0000000000000000000000000000000000000000000000000000000000000000"

  # `cargo xtask dist dmg` on each of the two makes these.
  url "https://github.com/myelin-gateway/myelin/releases/download/v#{version}/myelin-desktop_#{version}_#{arch}.dmg"
  name "Myelin"
  desc "One local address for every model"
  homepage "https://github.com/myelin-gateway/myelin"

  app "myelin-desktop.app"

  zap trash: ["~/Library/Application Support/myelin", "~/Library/Caches/dev.myelin.desktop"]
end
